//! The packed cache: exact bytes, in any step, without touching what is stored.

use burn::tensor::Device;
use kvr_kernels::KernelError;
use kvr_policy::{Append, Context, LayerCache, PolicyError, Registry};

use crate::support::{geometry, random, tensor};

const MIB: f64 = 1024.0 * 1024.0;

fn fill(
    cache: &mut dyn LayerCache,
    rows: &[f32],
    shape: [usize; 4],
    position: usize,
    device: &Device,
) {
    let append =
        Append { keys: tensor(rows, shape, device), values: tensor(rows, shape, device), position };
    cache.append(append).expect("rows that fit");
}

fn decoded(cache: &dyn LayerCache) -> Vec<f32> {
    let view = cache.view();
    let tiles = (0..view.tiles()).map(|i| view.tile(i).expect("a tile"));
    tiles
        .flat_map(|tile| [tile.keys, tile.values])
        .flat_map(|t| t.into_data_as::<f32>().try_to_vec::<f32>().expect("f32"))
        .collect()
}

#[test]
fn bytes_of_live_buffers_are_those_of_the_published_table() {
    let device = Device::flex();
    let registry = Registry::builtin();
    let layer = geometry(1, 32, 4, 64);
    for (name, at_128, at_8192) in [
        ("fp16", 5.50, 176.0),
        ("k8v8", 2.921875, 93.5),
        ("k8v4", 2.234375, 71.5),
        ("k4v8", 2.234375, 71.5),
        ("k4v4", 1.546875, 49.5),
    ] {
        let policy = registry.policy(name).expect("built in");
        let mut cache = policy.layer(&layer, &Context::new(&device)).expect("a cache");
        assert_eq!(cache.footprint().allocated, 0, "{name}: nothing before the first token");
        let rows = random(4 * 128 * 64, 64, 1);
        fill(&mut *cache, &rows, [1, 4, 128, 64], 0, &device);
        let print = cache.footprint();
        assert_eq!(22.0 * print.allocated as f64 / MIB, at_128, "{name}: allocated at 128 tokens");
        assert_eq!(44.0 * print.held() as f64 / MIB, at_128, "{name}: held at 128 tokens");
        for step in 1..64 {
            fill(&mut *cache, &rows, [1, 4, 128, 64], step * 128, &device);
        }
        let print = cache.footprint();
        assert_eq!(
            22.0 * print.allocated as f64 / MIB,
            at_8192,
            "{name}: allocated at 8192 tokens"
        );
        assert_eq!(print.held(), print.allocated, "{name}: pages are full");
        cache.reset();
        assert_eq!(cache.footprint().allocated, 0, "{name}: reset gives memory back");
    }
}

#[test]
fn steps_of_any_size_store_the_same_and_batches_do_not_mix() {
    let device = Device::flex();
    let registry = Registry::builtin();
    let (b, h, d, total) = (2, 3, 64, 600);
    let layer = geometry(b, 3, h, d);
    let all = random(b * h * total * d, d, 2);
    for name in ["k8v4", "q5_1:q4_1", "f32:bf16"] {
        let policy = registry.policy(name).expect("built in");
        let mut reference: Option<Vec<f32>> = None;
        for step in [total, 1, 7, 64, 300] {
            let mut cache = policy.layer(&layer, &Context::new(&device)).expect("a cache");
            let mut at = 0;
            while at < total {
                let n = step.min(total - at);
                let rows: Vec<f32> = (0..b * h)
                    .flat_map(|head| all[(head * total + at) * d..][..n * d].to_vec())
                    .collect();
                fill(&mut *cache, &rows, [b, h, n, d], at, &device);
                at += n;
            }
            assert_eq!(cache.view().tokens(), total);
            let got = decoded(&*cache);
            let want = reference.get_or_insert_with(|| got.clone());
            assert!(got == *want, "{name}: steps of {step} store other values than one step");
        }
    }
}

#[test]
fn an_odd_number_of_scales_packs_as_tightly_as_ggml() {
    let device = Device::flex();
    let layer = geometry(1, 1, 1, 32);
    let policy = Registry::builtin().policy("k8v8").expect("built in");
    let mut cache = policy.layer(&layer, &Context::new(&device)).expect("a cache");
    let rows = random(3 * 32, 32, 3);
    fill(&mut *cache, &rows, [1, 1, 3, 32], 0, &device);
    assert_eq!(cache.footprint().held(), 2 * 3 * 34);
    assert_eq!(cache.footprint().allocated, 2 * 256 * 34);
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let device = Device::flex();
    let registry = Registry::builtin();
    let error = registry
        .policy("k8v4")
        .expect("built in")
        .layer(&geometry(1, 1, 1, 48), &Context::new(&device))
        .err();
    assert!(
        matches!(
            error,
            Some(PolicyError::Kernel(KernelError::BlockSize { block: 32, size: 48, .. }))
        ),
        "{error:?}"
    );

    let policy = registry.policy("fp16").expect("built in");
    let mut cache = policy.layer(&geometry(1, 4, 2, 32), &Context::new(&device)).expect("a cache");
    let rows = random(2 * 5 * 32, 32, 4);
    fill(&mut *cache, &rows, [1, 2, 5, 32], 0, &device);
    let before = decoded(&*cache);
    let mut refuse = |keys: [usize; 4], values: [usize; 4], position| {
        let rows = |shape: [usize; 4]| tensor(&vec![0.5; shape.iter().product()], shape, &device);
        let error = cache.append(Append { keys: rows(keys), values: rows(values), position });
        assert!(error.is_err(), "{keys:?} {values:?} at {position}");
    };
    refuse([1, 2, 1, 32], [1, 2, 1, 32], 4);
    refuse([1, 3, 1, 32], [1, 3, 1, 32], 5);
    refuse([1, 2, 1, 64], [1, 2, 1, 64], 5);
    refuse([1, 2, 1, 32], [1, 2, 2, 32], 5);
    assert_eq!(decoded(&*cache), before);
}
