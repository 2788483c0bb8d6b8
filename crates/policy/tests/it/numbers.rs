//! Numbers that can't be right are seen: what is no number reaches the output, and what a format
//! can't hold is counted.

use std::sync::Arc;

use burn::Tensor;
use burn::tensor::Device;
use kvr_kernels::attention::reference;
use kvr_policy::formats::F32;
use kvr_policy::testkit::contract;
use kvr_policy::{
    Append, BlockLayout, Context, Format, KvCachePolicy, LayerCache, LayerGeometry, PackedCache,
    Packing, PolicyError, Queries, Registry, Side,
};

use crate::support::{every_format, geometry, gpu, random, tensor};

/// The CPU, and a GPU where there is one.
fn devices() -> Vec<Device> {
    [Device::flex()].into_iter().chain(gpu()).collect()
}

fn host(tensor: Tensor<4>) -> Vec<f32> {
    tensor.into_data_as::<f32>().try_to_vec::<f32>().expect("f32")
}

/// Answers of queries that are all ones over keys of `h` heads, by the kernel and by the reference.
fn answers(
    [h, n, d, steps]: [usize; 4],
    keys: &[f32],
    values: &[f32],
    (soft_cap, device): (Option<f32>, &Device),
) -> [Vec<f32>; 2] {
    let policy = Registry::builtin().policy("fp32").expect("built in");
    let mut cache =
        policy.layer(&geometry(1, 2 * h, h, d), &Context::new(device)).expect("a cache");
    let rows = |rows: &[f32]| tensor(rows, [1, h, n, d], device);
    let new = Append { keys: rows(keys), values: rows(values), position: 0 };
    cache.append(new).expect("rows that fit");
    let q = tensor(&vec![1.0; 2 * h * steps * d], [1, 2 * h, steps, d], device);
    let queries = Queries::causal(q, 0, 0.125).over(vec![0..n; steps]);
    let queries = Queries { soft_cap, ..queries };
    let ours = cache.attend(&queries).expect("the kernel");
    let plain = reference(&queries, &*cache.view()).expect("the reference");
    [ours, plain].map(|answer| host(answer.output))
}

#[test]
fn what_is_no_number_reaches_the_output() {
    let (h, n) = (2, 300);
    for (device, cap) in devices().into_iter().flat_map(|d| [(d.clone(), None), (d, Some(30.0))]) {
        // Few rows and many, and heads that programs of their own read.
        for (d, steps) in [(64, 1), (64, 70), (128, 1), (128, 70), (80, 3)] {
            let keys = random(h * n * d, d, 51);
            let values = random(h * n * d, d, 52);
            let all = |keys: &[f32], values: &[f32]| {
                answers([h, n, d, steps], keys, values, (cap, &device))
            };
            for token in [0, 255, n - 1] {
                for score in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let what = format!("{score} at {token} of {steps}x{d} on {device:?}, {cap:?}");
                    let mut keys = keys.clone();
                    keys[token * d + 3] = score;
                    // Infinitely unlikely is not wrong: it has no share, unless a cap gives it one.
                    let numbers = score == f32::NEG_INFINITY && cap.is_none();
                    for output in all(&keys, &values) {
                        // The first head has two query heads; the others see nothing of it.
                        let (first, others) = output.split_at(2 * steps * d);
                        assert!(first.iter().all(|x| x.is_finite() == numbers), "{what}");
                        assert!(others.iter().all(|x| x.is_finite()), "{what}: other heads");
                    }
                }
            }
            // Where nothing is likelier, there is nothing to be the mean of.
            for output in all(&vec![f32::NEG_INFINITY; h * n * d], &values) {
                assert!(output.iter().all(|x| x.is_nan()), "on {device:?}");
            }
            let mut broken = values.clone();
            broken[290 * d + 7] = f32::NAN;
            for output in all(&keys, &broken) {
                assert!(output[7].is_nan(), "a value on {device:?}");
            }
        }
    }
}

#[test]
fn what_a_format_can_not_hold_is_counted() {
    let (n, d) = (259, 64);
    let mut keys = random(2 * n * d, d, 61);
    for (at, value) in [(0, 65_519.0), (700, 65_520.0), (4000, -1e38), (9000, f32::MAX)] {
        keys[at] = value;
    }
    // What was no number before is nobody's loss.
    keys[20_000] = f32::INFINITY;
    let values = vec![0.0; keys.len()];
    for device in devices() {
        for format in every_format() {
            let context = Context::new(&device).counting();
            let side = || Side::per_token(format.clone());
            let cache = PackedCache::new(&geometry(1, 2, 2, d), &context, side(), side());
            let mut cache = cache.expect("a cache");
            let all = Append {
                keys: tensor(&keys, [1, 2, n, d], &device),
                values: tensor(&values, [1, 2, n, d], &device),
                position: 0,
            };
            let mut position = 0;
            for count in [1, 3, 200, n - 204] {
                let new = all.part(position..position + count, position);
                cache.append(new).expect("rows that fit");
                position += count;
            }
            let (stored, _) = kvr_kernels::rows(cache.view(), 0..n).expect("all rows");
            let stored = host(stored);
            let pairs = keys.iter().zip(&stored);
            let want = pairs.filter(|(x, y)| x.is_finite() && !y.is_finite()).count() as u64;
            let got = context.overflows().expect("a count");
            let what = format!("{} on {device:?}", format.name());
            assert_eq!(got.stored, 4 * (n * d) as u64, "{what}");
            match format.name() {
                // The exponents of mxfp4 are as wide as those of f32.
                "f32" | "mxfp4" => assert_eq!((got.lost, want), (0, 0), "{what}"),
                // It cuts all four to 2,688.
                "nvfp4" => assert_eq!((got.lost, want), (4, 0), "{what}"),
                "bf16" => assert_eq!((got.lost, want), (1, 1), "{what}"),
                "f16" => assert_eq!((got.lost, want), (3, 3), "{what}"),
                _ => assert!(got.lost == want && want >= 32, "{what}: {} of {want}", got.lost),
            }
        }
    }
}

/// Values as they are, but `factor` times as large when they are read.
#[derive(Debug)]
struct Scaled(u32);

impl Format for Scaled {
    fn name(&self) -> &str {
        "scaled"
    }

    fn layout(&self) -> BlockLayout {
        BlockLayout { values: 1, code_words: 1, scales: 0 }
    }

    fn encode(&self, values: &[f32], codes: &mut [u32], _: &mut [u16]) {
        codes[0] = values[0].to_bits();
    }

    fn decode(&self, codes: &[u32], _: &[u16], values: &mut [f32]) {
        values[0] = f32::from_bits(codes[0]) * self.0 as f32;
    }

    fn packing(&self) -> Option<Packing> {
        Some(Packing::Stream)
    }

    fn wgsl(&self) -> Option<String> {
        let value = "bitcast<f32>((*codes)[w])";
        Some(F32.wgsl()?.replace(value, &format!("{}.0 * {value}", self.0)))
    }
}

#[test]
fn formats_of_one_name_share_no_program() {
    for device in devices() {
        let context = Context::new(&device);
        let caches = [1, 2].map(|factor| {
            let side = || Side::per_token(Arc::new(Scaled(factor)));
            let cache = PackedCache::new(&geometry(1, 2, 1, 64), &context, side(), side());
            let mut cache = cache.expect("a cache");
            let ones = || tensor(&[1.0; 9 * 64], [1, 1, 9, 64], &device);
            let new = Append { keys: ones(), values: ones(), position: 0 };
            cache.append(new).expect("rows that fit");
            cache
        });
        for (cache, factor) in caches.iter().zip([1.0, 2.0]) {
            let (keys, _) = kvr_kernels::rows(cache.view(), 0..9).expect("all rows");
            assert_eq!(host(keys), [factor; 9 * 64], "on {device:?}");
            let q = tensor(&[0.1; 2 * 64], [1, 2, 1, 64], &device);
            let answer = cache.attend(&Queries::causal(q, 8, 0.125)).expect("attention");
            let off = host(answer.output).into_iter().map(|x| (x - factor).abs());
            assert!(off.fold(0.0, f32::max) < 1e-5, "on {device:?}");
        }
    }
}

/// A policy whose cache clips what it stores and tells nobody.
struct Clips;

struct Clipping(Box<dyn LayerCache>);

impl KvCachePolicy for Clips {
    fn name(&self) -> String {
        "clips".to_owned()
    }

    fn layer(
        &self,
        layer: &LayerGeometry,
        context: &Context,
    ) -> Result<Box<dyn LayerCache>, PolicyError> {
        let inner = Registry::builtin().policy("fp32")?.layer(layer, context)?;
        Ok(Box::new(Clipping(inner)))
    }
}

impl LayerCache for Clipping {
    fn geometry(&self) -> &LayerGeometry {
        self.0.geometry()
    }

    fn append(&mut self, new: Append) -> Result<(), PolicyError> {
        self.0.append(Append { keys: new.keys.clamp(-1000.0, 1000.0), ..new })
    }

    fn view(&self) -> Box<dyn kvr_policy::CacheView + '_> {
        self.0.view()
    }

    fn footprint(&self) -> kvr_policy::Footprint {
        self.0.footprint()
    }

    fn reset(&mut self) {
        self.0.reset();
    }
}

#[test]
fn the_contract_sees_a_policy_that_clips_in_silence() {
    let failure = contract::check(&Clips).expect_err("it stores another number");
    assert!(failure.to_string().contains("can't hold are counted"), "{failure}");
}
