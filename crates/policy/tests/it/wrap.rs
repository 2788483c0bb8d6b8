//! Policies made of policies do what their parts would do.

use burn::Tensor;
use burn::tensor::Device;
use kvr_policy::wrap::PostPrefill;
use kvr_policy::{Append, Context, KvCachePolicy, LayerCache, LayerGeometry, Registry, Step};

use crate::support::{geometry, random, tensor};

const HQ: usize = 4;
const HKV: usize = 2;
const D: usize = 64;

fn rows(heads: usize, steps: usize, seed: u64) -> Tensor<4> {
    tensor(&random(heads * steps * D, D, seed), [1, heads, steps, D], &Device::flex())
}

/// Appends `steps` tokens and attends; both depend on the position only.
fn step(cache: &mut dyn LayerCache, position: usize, steps: usize) -> Tensor<4> {
    let seed = 10 * position as u64;
    let (keys, values) = (rows(HKV, steps, seed), rows(HKV, steps, seed + 1));
    let new = Append { keys, values, position };
    let queries = rows(HQ, steps, seed + 2);
    let step = Step { ends_prompt: position == 0, ..Step::new(new, queries, 0.125) };
    cache.step(step).expect("rows that fit")
}

fn values(tensor: Tensor<4>) -> Vec<f32> {
    tensor.into_data().try_into_vec::<f32>().expect("f32")
}

fn policy(name: &str) -> std::sync::Arc<dyn KvCachePolicy> {
    Registry::builtin().policy(name).expect(name)
}

fn layer(index: usize) -> LayerGeometry {
    LayerGeometry { layer: index, layers: 6, ..geometry(1, HQ, HKV, D) }
}

#[test]
fn rules_choose_layers_and_later_ones_win() {
    let mixed = policy("k8v4[first 2=fp16;last 1=fp32;1=k4v4]");
    for (index, name) in [(0, "fp16"), (1, "k4v4"), (2, "k8v4"), (5, "fp32")] {
        let mut ours = mixed.layer(&layer(index), &Context::new(&Device::flex())).expect("a cache");
        let mut plain =
            policy(name).layer(&layer(index), &Context::new(&Device::flex())).expect("a cache");
        let (got, want) = (step(&mut *ours, 0, 300), step(&mut *plain, 0, 300));
        assert_eq!(values(got), values(want), "layer {index} is not {name}");
        assert_eq!(ours.footprint(), plain.footprint());
    }
}

#[test]
fn a_rule_for_a_head_changes_that_head_only() {
    let mixed = policy("fp16[3.1=k4v4]");
    let mut ours = mixed.layer(&layer(3), &Context::new(&Device::flex())).expect("a cache");
    let mut parts = ["fp16", "k4v4"].map(|name| {
        policy(name).layer(&layer(3), &Context::new(&Device::flex())).expect("a cache")
    });
    for (position, steps) in [(0, 300), (300, 1), (301, 7)] {
        let got = step(&mut *ours, position, steps);
        let [low, high] = parts.each_mut().map(|part| step(&mut **part, position, steps));
        // Query heads 0 and 1 read key-value head 0, the others head 1.
        let want = Tensor::cat(vec![low.narrow(1, 0, 2), high.narrow(1, 2, 2)], 1);
        // Products over another number of rows may round otherwise.
        for (got, want) in values(got).iter().zip(values(want)) {
            assert!((got - want).abs() < 1e-5, "{got} against {want}");
        }
    }
    let bytes = parts.each_ref().map(|part| part.footprint().held());
    assert_eq!(2 * ours.footprint().held(), bytes[0] + bytes[1]);
    let tile = ours.view().tile(1).expect("the second tile");
    assert_eq!((tile.tokens.clone(), tile.keys.dims()), (256..308, [1, HKV, 52, D]));
}

#[test]
fn broken_notation_and_missing_layers_are_said() {
    let registry = Registry::builtin();
    let said = |name: &str| registry.policy(name).err().expect("an error").to_string();
    assert!(said("k8v4[1=fp16").contains("not closed"));
    assert!(said("k8v4[1]").contains("no '='"));
    assert!(said("k8v4[x=fp16]").contains("'x'"));
    assert!(said("k8v4[0-18446744073709551615=fp16]").contains("more than can be counted"));
    let most = format!("k8v4[last {}=fp16]", usize::MAX - 1);
    let error = policy(&most)
        .layer(&layer(0), &Context::new(&Device::flex()))
        .err()
        .expect("six layers only")
        .to_string();
    assert!(error.contains("and the model has 6"), "{error}");
    assert!(said("k8v4[1=fp61]").contains("fp16"));
    let error = policy("k8v4[6=fp16]")
        .layer(&layer(0), &Context::new(&Device::flex()))
        .err()
        .expect("six layers only");
    assert!(error.to_string().contains("needs 7 layers, and the model has 6"), "{error}");
    let error = policy("k8v4[0.2=fp16]")
        .layer(&layer(0), &Context::new(&Device::flex()))
        .err()
        .expect("two heads only");
    assert!(error.to_string().contains("needs 3 heads"), "{error}");
}

#[test]
fn the_prompt_attends_in_full_precision_and_leaves_no_copy() {
    let mut exact =
        policy("fp32").layer(&layer(0), &Context::new(&Device::flex())).expect("a cache");
    let mut packed =
        policy("k4v4").layer(&layer(0), &Context::new(&Device::flex())).expect("a cache");
    let mut ours = PostPrefill(policy("k4v4"))
        .layer(&layer(0), &Context::new(&Device::flex()))
        .expect("a cache");
    for _ in 0..2 {
        let prompt = [&mut ours, &mut exact, &mut packed].map(|c| values(step(&mut **c, 0, 300)));
        assert_eq!(prompt[0], prompt[1]);
        assert_ne!(prompt[0], prompt[2]);
        assert_eq!(ours.footprint(), packed.footprint(), "the prompt stays in f32");
        let next = [&mut ours, &mut packed].map(|c| values(step(&mut **c, 300, 5)));
        assert_eq!(next[0], next[1]);
        for cache in [&mut ours, &mut exact, &mut packed] {
            cache.reset();
        }
    }
}
