//! Files that tests read.

use std::path::{Path, PathBuf};

use crate::skip_outside_ci;

/// The folder of a golden model, made by transformers: config, weights, tokens and logits.
pub fn model_golden(name: &str) -> PathBuf {
    let goldens = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates/models/tests/goldens");
    Path::new(goldens).join(name)
}

/// A file of WikiText-2, which is not part of the repository: it lies in `../shared` beside it, or
/// where `KVR_WIKITEXT` says. Where it is missing, the test has been reported as skipped.
pub fn wikitext(file: &str) -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/wikitext-2");
    let folder = std::env::var_os("KVR_WIKITEXT").map_or(PathBuf::from(beside), PathBuf::from);
    let path = folder.join(file);
    if path.exists() {
        return Some(path);
    }
    skip_outside_ci(&format!("WikiText-2's {file} is missing (KVR_WIKITEXT names its folder)"));
    None
}

/// The folder of more golden models, which are not part of the repository: it lies in `../shared`
/// beside it, or where `KVR_GOLDENS` says. Where it is missing, the test has been reported as
/// skipped in part.
pub fn shared_goldens() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/goldens/models");
    let folder = std::env::var_os("KVR_GOLDENS").map_or(PathBuf::from(beside), PathBuf::from);
    if folder.exists() {
        return Some(folder);
    }
    eprintln!("skipped: {} is not there (KVR_GOLDENS names it)", folder.display());
    None
}

/// A real model, such as `gemma-3-270m-q4_k_m.gguf`, which is not part of the repository:
/// `scripts/fetch-models.py FOLDER` fetches it. It lies in `../models` beside the repository, or
/// where `KVR_MODELS` says. Where it is missing, the test has been reported as skipped.
pub fn real_model(file: &str) -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../models");
    let folder = std::env::var_os("KVR_MODELS").map_or(PathBuf::from(beside), PathBuf::from);
    let path = folder.join(file);
    if path.exists() {
        return Some(path);
    }
    skip_outside_ci(&format!(
        "the model {file} is missing (scripts/fetch-models.py fetches it, KVR_MODELS names its \
         folder)"
    ));
    None
}

/// Copies files from one folder to another.
pub fn copy(files: &[&str], from: &Path, to: &Path) {
    for file in files {
        std::fs::copy(from.join(file), to.join(file)).expect("a file of the repository");
    }
}

/// Little-endian numbers.
pub fn u32s(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Little-endian numbers.
pub fn f32s(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}
