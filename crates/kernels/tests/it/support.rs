//! What several tests need: goldens and formats by name.

use std::sync::Arc;

use kvr_kernels::{Format, formats};

/// A golden file of this crate.
pub(crate) fn golden(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/goldens/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).expect("the golden file is part of the repository")
}

/// The format of a family that a name means.
pub(crate) fn family(name: &str) -> Arc<dyn Format> {
    let format = formats::families().iter().find_map(|family| (family.parse)(name));
    format.expect("a family").expect(name)
}

/// Every format with a name of its own, and of every family some.
pub(crate) fn every_format() -> Vec<Arc<dyn Format>> {
    let affine = ["a2g32", "a3g32", "a4g64", "a6g32c0.9", "a8g64"];
    let others = ["s2g32", "s3g64", "s4g32", "m3g32", "m4g64"];
    let codebooks = ["nf2g32", "nf3g32", "nf4g64", "lm2g32", "lm3g64", "lm4g32"];
    let named = affine.iter().chain(&others).chain(&codebooks).map(|name| family(name));
    formats::all().into_iter().chain(named).collect()
}

pub(crate) fn f32s(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}
