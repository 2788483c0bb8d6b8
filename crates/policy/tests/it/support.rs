//! What several tests need: goldens, random rows, a float64 attention.

use std::sync::{Arc, OnceLock};

use burn::Tensor;
use burn::tensor::wgpu::wgpu;
use burn::tensor::{Device, DeviceKind, TensorData};
use kvr_kernels::MatrixUnits;
use kvr_policy::{Format, LayerGeometry, Registry};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Every format with a name of its own, and of every family some.
pub(crate) fn every_format() -> Vec<Arc<dyn Format>> {
    let registry = Registry::builtin();
    let more = [
        "a2g32",
        "a3g32",
        "a4g64",
        "a6g32c0.9",
        "a8g64",
        "s2g32",
        "s3g64",
        "s4g32",
        "m3g32",
        "m4g64",
    ];
    let codebooks = ["nf2g32", "nf3g32", "nf4g64", "lm2g32", "lm3g64", "lm4g32"];
    let named = more.iter().chain(&codebooks).map(|name| registry.format(name).expect(name));
    registry.formats().cloned().chain(named).collect()
}

/// A software or hardware GPU, or `None` where there is none; tests then say that they skip.
pub(crate) fn gpu() -> Option<Device> {
    gpu_and_kind().map(|(device, _)| device)
}

/// The GPU, and whether it is software.
pub(crate) fn gpu_and_kind() -> Option<(Device, bool)> {
    let (device, adapter) = gpu_and_adapter()?;
    Some((device, format!("{:?}", adapter.get_info().device_type) == "Cpu"))
}

/// The GPU and its adapter. A process opens it once: the runtime refuses to do so again.
pub(crate) fn gpu_and_adapter() -> Option<(Device, wgpu::Adapter)> {
    static OPENED: OnceLock<Option<(Device, wgpu::Adapter)>> = OnceLock::new();
    let opened = OPENED.get_or_init(|| {
        let options = Device::wgpu_options().device_kind(DeviceKind::DefaultDevice);
        let found = std::panic::catch_unwind(|| options.init_with_setup().ok());
        found.ok().flatten().map(|(device, setup)| (device, setup.adapter))
    });
    if opened.is_none() {
        kvr_testing::skip_outside_ci("no Vulkan or Metal adapter (Debian: mesa-vulkan-drivers)");
    }
    opened.clone()
}

/// The GPU and its matrix units, or `None` where there are none; scripts that require them set
/// `KVR_NEEDS_MATRICES`.
pub(crate) fn matrix_units() -> Option<(Device, MatrixUnits)> {
    let (device, adapter) = gpu_and_adapter()?;
    let units = MatrixUnits::of(&adapter);
    if units.is_none() {
        let needed = std::env::var_os("KVR_NEEDS_MATRICES").is_some();
        assert!(!needed, "KVR_NEEDS_MATRICES is set, and no adapter has matrix units");
        kvr_testing::skip("no adapter has matrix units (scripts/matrix-tests.sh)");
    }
    Some((device, units?))
}

pub(crate) fn geometry(
    batch: usize,
    query_heads: usize,
    kv_heads: usize,
    head_dim: usize,
) -> LayerGeometry {
    let (rope, window) = (None, None);
    LayerGeometry { layer: 0, layers: 1, batch, query_heads, kv_heads, head_dim, rope, window }
}

/// Numbers in about ±3 with an outlier channel, as keys have.
pub(crate) fn random(count: usize, head_dim: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count)
        .map(|i| {
            let v: f32 = (0..4).map(|_| rng.random_range(-1.0f32..1.0)).sum();
            if i % head_dim == 5 { v * 6.0 } else { v }
        })
        .collect()
}

pub(crate) fn tensor(values: &[f32], shape: [usize; 4], device: &Device) -> Tensor<4> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

/// Softmax attention in float64, `[B, Hq, S, D]`; query `s` reads the last `window` tokens up to
/// `first + s`, and `score` makes scores of products.
pub(crate) fn attention_f64(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    [batch, hq, hkv, steps, held, d]: [usize; 6],
    (first, window): (usize, usize),
    score: impl Fn(f64) -> f64,
) -> Vec<f64> {
    let mut out = vec![0.0; batch * hq * steps * d];
    for b in 0..batch {
        for h in 0..hq {
            let kv = b * hkv + h / (hq / hkv);
            for s in 0..steps {
                let row = ((b * hq + h) * steps + s) * d;
                let end = first + s + 1;
                let seen = end.saturating_sub(window)..end.min(held);
                let at = |t: usize| (kv * held + t) * d;
                let product = |t: usize| {
                    let products = (0..d).map(|i| f64::from(q[row + i]) * f64::from(k[at(t) + i]));
                    products.sum::<f64>()
                };
                let scores: Vec<f64> = seen.clone().map(|t| score(product(t))).collect();
                let max = scores.iter().copied().fold(f64::MIN, f64::max);
                let sum: f64 = scores.iter().map(|x| (x - max).exp()).sum();
                for (t, score) in seen.zip(&scores) {
                    let weight = (score - max).exp() / sum;
                    for i in 0..d {
                        out[row + i] += weight * f64::from(v[at(t) + i]);
                    }
                }
            }
        }
    }
    out
}
