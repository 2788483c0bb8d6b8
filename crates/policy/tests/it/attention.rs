//! Attention over a packed cache equals float64 attention over what the cache decodes to.

use burn::Tensor;
use burn::tensor::Device;
use kvr_policy::{Append, Context, KvCachePolicy, LayerCache, Queries, Registry, Step};

use crate::support::{attention_f64, geometry, random, tensor};

/// Keys and values as stored, `[B, Hkv, S, D]` each.
fn stored(cache: &dyn LayerCache) -> (Vec<f32>, Vec<f32>) {
    let view = cache.view();
    let tiles: Vec<_> = (0..view.tiles()).map(|i| view.tile(i).expect("a tile")).collect();
    let join = |parts: Vec<Tensor<4>>| {
        Tensor::cat(parts, 2).into_data_as::<f32>().try_to_vec::<f32>().expect("f32")
    };
    (
        join(tiles.iter().map(|t| t.keys.clone()).collect()),
        join(tiles.into_iter().map(|t| t.values).collect()),
    )
}

fn check(name: &str, sizes: [usize; 6], device: &Device, bound: f64) {
    let policy = Registry::builtin().policy(name).expect("a pair of built-in formats");
    check_policy(&*policy, sizes, &Context::new(device), 1.0, bound);
}

/// `sharpness` is a factor of the usual scale of scores.
fn check_policy(
    policy: &dyn KvCachePolicy,
    sizes: [usize; 6],
    context: &Context,
    sharpness: f32,
    bound: f64,
) {
    let [b, hq, hkv, steps, held, d] = sizes;
    let device = &context.device;
    let name = policy.config();
    let mut cache = policy.layer(&geometry(b, hq, hkv, d), context).expect("a cache");
    let keys = tensor(&random(b * hkv * held * d, d, 11), [b, hkv, held, d], device);
    let values = tensor(&random(b * hkv * held * d, d, 12), [b, hkv, held, d], device);
    cache.append(Append { keys, values, position: 0 }).expect("rows that fit");
    let q = random(b * hq * steps * d, d, 13);
    let scale = sharpness / (d as f32).sqrt();
    let position = held - steps;
    let queries = Queries::causal(tensor(&q, [b, hq, steps, d], device), position, scale);
    let got = cache
        .attend(&queries)
        .expect("attention")
        .output
        .into_data_as::<f32>()
        .try_to_vec::<f32>()
        .expect("f32");
    let (k, v) = stored(&*cache);
    let scores = |product| f64::from(scale) * product;
    let want = attention_f64(&q, &k, &v, sizes, (position, held), scores);
    let top = want.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    let worst =
        got.iter().zip(&want).map(|(g, w)| (f64::from(*g) - w).abs() / top).fold(0.0, f64::max);
    assert!(worst <= bound, "{name} {sizes:?}: relative error {worst:e}");
}

/// Sliding windows and capped scores, as Gemma 2 has them.
fn check_windows_and_caps(device: &Device) {
    for name in ["fp32", "k8v4", "kivi-4"] {
        let policy = Registry::builtin().policy(name).expect(name);
        for sizes in [[1, 4, 2, 1, 600, 64], [2, 4, 2, 40, 300, 64], [1, 2, 1, 300, 300, 128]] {
            let [b, hq, hkv, steps, held, d] = sizes;
            let mut cache =
                policy.layer(&geometry(b, hq, hkv, d), &Context::new(device)).expect("a cache");
            let rows =
                |seed| tensor(&random(b * hkv * held * d, d, seed), [b, hkv, held, d], device);
            let new = Append { keys: rows(21), values: rows(22), position: 0 };
            cache.append(new.clone()).expect("rows that fit");
            let q = random(b * hq * steps * d, d, 23);
            let (position, window, cap, scale) = (held - steps, 50, 5.0, 0.25);
            let queries = tensor(&q, [b, hq, steps, d], device);
            let step = Step::new(new.part(position..held, position), queries, scale);
            let step = Step { soft_cap: Some(cap), window: Some(window), ..step };
            let (_, queries) = step.causal();
            let got = cache.attend(&queries).expect("attention").output;
            let got = got.into_data_as::<f32>().try_to_vec::<f32>().expect("f32");
            let (k, v) = stored(&*cache);
            let capped = |product: f64| {
                let (scale, cap) = (f64::from(scale), f64::from(cap));
                cap * (scale * product / cap).tanh()
            };
            let want = attention_f64(&q, &k, &v, sizes, (position, window), capped);
            let top = want.iter().fold(0.0f64, |m, x| m.max(x.abs()));
            for (got, want) in got.iter().zip(&want) {
                let off = (f64::from(*got) - want).abs() / top;
                assert!(off <= 2e-5, "{name} {sizes:?}: relative error {off:e}");
            }
        }
    }
}

#[test]
fn windows_and_capped_scores_on_the_cpu() {
    check_windows_and_caps(&Device::flex());
}

#[test]
fn windows_and_capped_scores_on_the_gpu() {
    if let Some(device) = crate::support::gpu() {
        check_windows_and_caps(&device);
    }
}

#[test]
fn every_pair_of_formats_on_the_cpu() {
    let formats = ["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "mxfp4", "nvfp4"];
    for keys in formats {
        for values in formats {
            check(&format!("{keys}:{values}"), [1, 4, 2, 40, 300, 64], &Device::flex(), 1e-5);
        }
    }
}

#[test]
fn shapes_from_one_token_to_long_contexts_on_the_cpu() {
    for sizes in [
        [1, 1, 1, 1, 1, 32],
        [1, 4, 4, 1, 1, 64],
        [2, 8, 2, 1, 257, 64],
        [1, 32, 4, 1, 4000, 64],
        [3, 6, 3, 5, 5, 96],
        [1, 2, 1, 512, 512, 64],
        [2, 4, 2, 130, 700, 128],
        [1, 3, 1, 9, 513, 256],
        [1, 8, 1, 1, 32_768, 64],
    ] {
        check("k8v4", sizes, &Device::flex(), 1e-5);
        check("fp32", sizes, &Device::flex(), 1e-5);
    }
}

/// Per-channel keys, windows in full precision, rotation.
fn check_kinds(device: &Device) {
    for name in ["kivi-4", "kivi-2", "k4v4-window", "hf-4", "quarot-4", "nf4"] {
        check(name, [1, 4, 2, 1, 300, 64], device, 1e-5);
        check(name, [2, 8, 2, 40, 700, 128], device, 1e-5);
        check(name, [1, 8, 1, 1, 5000, 64], device, 1e-5);
    }
}

#[test]
fn caches_of_several_kinds_on_the_cpu() {
    check_kinds(&Device::flex());
}

#[test]
fn caches_of_several_kinds_on_the_gpu() {
    if let Some(device) = crate::support::gpu() {
        check_kinds(&device);
    }
}

/// Queries and keys are rounded to 11 bits, so a weight is off by some 3e-4 of its score: scores of
/// these rows reach 30 at the usual scale, because of their outlier channel.
///
/// Software Vulkan has matrix units from Mesa 25.2 on: `scripts/matrix-tests.sh` fetches one.
#[test]
fn every_pair_of_formats_on_matrix_units() {
    let Some((device, units)) = crate::support::matrix_units() else { return };
    let registry = Registry::builtin();
    let mut context = Context::new(&device);
    context.matrices = Some(units);
    let check = |name: &str, sizes, sharpness, bound| {
        let policy = registry.policy(name).expect("a pair of built-in formats");
        check_policy(&*policy, sizes, &context, sharpness, bound);
    };
    let formats = ["f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"];
    let more = ["a4g64", "s4g32", "m4g64", "a8g64", "a3g32", "nf4g64"];
    // What reads keys does not depend on what reads values: every format stands on both sides.
    let formats = [&formats[..], &more[..]].concat();
    for (keys, values) in formats.iter().zip(formats.iter().cycle().skip(1)) {
        for pair in [format!("{keys}:{values}"), format!("{keys}:{keys}")] {
            check(&pair, [1, 8, 2, 5, 300, 64], 0.125, 2e-3);
        }
    }
    for sizes in [
        [1, 16, 1, 1, 1, 64],
        [2, 8, 2, 3, 257, 64],
        [1, 32, 2, 1, 4000, 64],
        [3, 12, 3, 5, 5, 96],
        [1, 2, 1, 512, 512, 64],
        [2, 4, 2, 130, 700, 128],
        [1, 10, 1, 9, 513, 256],
        [1, 8, 2, 33, 100, 160],
        [1, 8, 1, 2, 32_768, 64],
    ] {
        check("k8v4", sizes, 0.125, 2e-3);
        check("k8v4", sizes, 1.0, 1e-2);
    }
    for name in ["k4v4-window", "quarot-4"] {
        check(name, [2, 8, 2, 40, 700, 128], 0.125, 2e-3);
    }
}

/// If the largest score grows from token to token, the sums are rescaled again and again; if it is
/// far above the others, their weights are near the smallest that f16 can hold.
#[test]
fn growing_scores_and_bands_on_matrix_units() {
    let Some((device, units)) = crate::support::matrix_units() else { return };
    let policy = Registry::builtin().policy("fp16").expect("built in");
    let (held, steps, d) = (600, 70, 64);
    let geometry = geometry(1, 4, 1, d);
    let mut plain = policy.layer(&geometry, &Context::new(&device)).expect("a cache");
    let mut context = Context::new(&device);
    context.matrices = Some(units);
    let mut cache = policy.layer(&geometry, &context).expect("a cache");
    // Scores from -60 to 60: keys grow along the text.
    let keys: Vec<f32> = (0..held * d).map(|i| (i / d) as f32 / 40.0 - 7.5).collect();
    for cache in [&mut plain, &mut cache] {
        let keys = tensor(&keys, [1, 1, held, d], &device);
        let values = tensor(&random(held * d, d, 31), [1, 1, held, d], &device);
        cache.append(Append { keys, values, position: 0 }).expect("rows that fit");
    }
    let q = tensor(&vec![1.0; 4 * steps * d], [1, 4, steps, d], &device);
    let queries = Queries::causal(q, held - steps, 0.125);
    let band = (0..steps).map(|i| (held - steps + i).saturating_sub(40)..held - steps + i + 1);
    let gaps = (0..steps).map(|i| if i % 3 == 0 { 9..9 } else { 200..300 });
    for queries in [queries.over(band.collect()), queries.over(gaps.collect()), queries] {
        let got = cache.attend(&queries).expect("matrix units");
        let want = plain.attend(&queries).expect("f32");
        let worst = |a: Tensor<4>, b: Tensor<4>| -> f32 { (a - b).abs().max().into_scalar() };
        let top: f32 = want.output.clone().abs().max().into_scalar();
        let error = worst(got.output, want.output) / top;
        assert!(error <= 2e-3, "relative error {error:e}");
        let logs = worst(got.log_sum_exp, want.log_sum_exp);
        assert!(logs <= 0.1, "log-sums differ by {logs}");
    }
}

#[test]
fn the_tensor_op_reference_agrees_with_the_kernel() {
    let device = Device::flex();
    let policy = Registry::builtin().policy("k8v4").expect("built in");
    let mut cache = policy.layer(&geometry(2, 4, 2, 64), &Context::new(&device)).expect("a cache");
    let (keys, values) = (random(2 * 2 * 600 * 64, 64, 21), random(2 * 2 * 600 * 64, 64, 22));
    let append = Append {
        keys: tensor(&keys, [2, 2, 600, 64], &device),
        values: tensor(&values, [2, 2, 600, 64], &device),
        position: 0,
    };
    cache.append(append).expect("rows that fit");
    for (steps, position) in [(1, 599), (100, 500), (300, 0)] {
        let q = tensor(&random(2 * 4 * steps * 64, 64, 23), [2, 4, steps, 64], &device);
        let queries = Queries::causal(q, position, 0.125);
        // Causal, in a band, and with queries that read nothing.
        let band = (0..steps).map(|i| (position + i).saturating_sub(40)..position + i + 1);
        let gaps = (0..steps).map(|i| if i % 3 == 0 { 9..9 } else { 200..300 });
        for queries in [queries.over(band.collect()), queries.over(gaps.collect()), queries] {
            let fused = cache.attend(&queries).expect("the kernel");
            let plain =
                kvr_kernels::attention::reference(&queries, &*cache.view()).expect("the reference");
            let worst = |a: Tensor<4>, b: Tensor<4>| -> f32 { (a - b).abs().max().into_scalar() };
            let off =
                worst(fused.output, plain.output).max(worst(fused.log_sum_exp, plain.log_sum_exp));
            assert!(off < 2e-5, "{steps} queries at {position}: {off}");
        }
    }
}

#[test]
fn every_pair_of_formats_on_the_gpu() {
    let Some(device) = crate::support::gpu() else { return };
    let formats = ["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "mxfp4", "nvfp4"];
    for keys in formats {
        for values in formats {
            check(&format!("{keys}:{values}"), [1, 4, 2, 1, 300, 64], &device, 1e-5);
        }
        // A prompt, which another program reads.
        check(&format!("{keys}:{keys}"), [1, 4, 2, 40, 300, 128], &device, 1e-5);
    }
    for family in ["a2g32", "a3g64", "a4g64c0.9", "a8g64", "s4g32", "m4g64", "nf4g64", "lm3g32"] {
        check(&format!("{family}:q8_0"), [1, 4, 2, 1, 300, 64], &device, 1e-5);
        check(&format!("q4_0:{family}"), [2, 8, 1, 1, 130, 64], &device, 1e-5);
        check(&format!("{family}:{family}"), [2, 8, 1, 6, 130, 128], &device, 1e-5);
    }
}

#[test]
fn shapes_from_one_token_to_long_contexts_on_the_gpu() {
    let Some(device) = crate::support::gpu() else { return };
    for sizes in [
        [1, 1, 1, 1, 1, 32],
        [1, 4, 4, 1, 1, 64],
        [2, 8, 2, 1, 257, 64],
        [1, 32, 4, 1, 5000, 64],
        [1, 8, 1, 1, 32_768, 64],
        [3, 6, 3, 5, 5, 96],
        [2, 4, 2, 130, 700, 128],
        [1, 4, 1, 33, 33, 128],
        [1, 2, 1, 600, 2000, 128],
        [1, 3, 1, 9, 513, 256],
        [1, 5, 1, 1, 100, 80],
        [1, 2, 1, 3, 70, 512],
    ] {
        let name = if sizes[5] % 32 == 0 { "k8v4" } else { "fp16" };
        check(name, sizes, &device, 1e-5);
    }
}

#[test]
fn hard_numbers_and_masked_tiles_on_the_cpu_and_the_gpu() {
    let mut devices = vec![Device::flex()];
    devices.extend(crate::support::gpu());
    // Few rows and many, which different programs read.
    for (device, d, copies) in devices.iter().flat_map(|x| [(x, 64, 1), (x, 128, 8)]) {
        let policy = Registry::builtin().policy("fp32").expect("built in");
        let (h, n) = (2, 600);
        let mut cache =
            policy.layer(&geometry(1, 4, h, d), &Context::new(device)).expect("a cache");
        let mut keys = random(h * n * d, d, 41);
        keys[5 * d..6 * d].fill(40.0);
        keys[7 * d..300 * d].fill(0.25);
        let values = random(h * n * d, d, 42);
        let rows = |x: &[f32]| tensor(x, [1, h, n, d], device);
        let new = Append { keys: rows(&keys), values: rows(&values), position: 0 };
        cache.append(new).expect("rows that fit");
        // Nothing at all; only an outlier; equal keys; a tile that only some read; everything.
        let visible = [9..9, 5..6, 10..290, 300..520, 0..n];
        let steps = copies * visible.len();
        let q = tensor(&random(4 * steps * d, d, 43), [1, 4, steps, d], device);
        let queries = Queries::causal(q, n - steps, 0.125);
        let queries = queries.over(visible.iter().cycle().take(steps).cloned().collect());
        let ours = cache.attend(&queries).expect("the kernel");
        let plain = kvr_kernels::attention::reference(&queries, &*cache.view());
        let plain = plain.expect("the reference");
        let worst = |a: Tensor<4>, b: Tensor<4>| -> f32 { (a - b).abs().max().into_scalar() };
        let top: f32 = plain.output.clone().abs().max().into_scalar();
        assert!(worst(ours.output.clone(), plain.output) < 2e-5 * top);
        let off: f32 = (ours.log_sum_exp / plain.log_sum_exp - 1.0).abs().max().into_scalar();
        assert!(off < 1e-5, "log-sums differ by {off}");
        let first: f32 = ours.output.narrow(2, 0, 1).abs().max().into_scalar();
        assert_eq!(first, 0.0, "a query that reads nothing gets nothing");
    }
}
