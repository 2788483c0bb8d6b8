//! KVQuant, calibrated on rows of the contract's own layer: without a calibration it can't be made.

use std::sync::Arc;

use burn::Tensor;
use kvr_policy::testkit::{Rows, contract};
use kvr_policy::{KvCachePolicy, LayerGeometry, LayerRows, Registry, Step};

/// Tokens of the text that levels are fitted to.
const TOKENS: usize = 400;

/// What one layer of a model writes: keys after RoPE, as caches get them.
fn text(seed: u64) -> Step {
    let (geometry, context) = (contract::geometry(), contract::context());
    Rows::random(&geometry, &context.device, TOKENS, seed).step(0, TOKENS)
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec::<f32>().expect("f32")
}

/// `[B, Hkv, S, D]` token by token, `[B · S, Hkv, D]`.
fn by_token(rows: Tensor<4>) -> Vec<f32> {
    host(rows.swap_dims(1, 2))
}

/// A text as calibration sees it: keys before RoPE.
fn seen(geometry: &LayerGeometry, text: Step) -> LayerRows {
    let rope = geometry.rope.as_ref().expect("the contract's layer has a RoPE");
    LayerRows {
        kv_heads: geometry.kv_heads,
        head_dim: geometry.head_dim,
        keys: by_token(rope.inverse(text.new.keys, 0)),
        values: by_token(text.new.values),
    }
}

/// KVQuant of these settings, calibrated on another text for every layer.
fn calibrated(name: &str) -> Arc<dyn KvCachePolicy> {
    let (geometry, registry) = (contract::geometry(), Registry::builtin());
    let rows: Vec<LayerRows> =
        (0..geometry.layers).map(|layer| seen(&geometry, text(layer as u64))).collect();
    let (method, settings) = registry.method_and_settings(name).expect(name);
    let table = method.calibrated(settings, &rows).expect(name);
    let file = toml::to_string(&table).expect("a table of numbers");
    registry.policy_of_toml(name, &file).expect(name)
}

/// What a layer answers to a text that no level was fitted to.
fn answers(policy: &dyn KvCachePolicy) -> Vec<f32> {
    let cache = policy.layer(&contract::geometry(), &contract::context());
    let mut cache = cache.expect("it was calibrated for this layer");
    host(cache.step(text(99)).expect("rows that fit"))
}

/// The mean squared error of the answers.
fn error(name: &str) -> f64 {
    let exact = answers(&*Registry::builtin().policy("fp32").expect("built in"));
    let ours = answers(&*calibrated(name));
    let squares = ours.iter().zip(&exact).map(|(ours, exact)| f64::from(ours - exact).powi(2));
    squares.sum::<f64>() / exact.len() as f64
}

#[test]
fn calibrated_policies_keep_the_contract() {
    for name in [
        "kvquant(key_bits=2;value_bits=4)",
        "kvquant(key_bits=3;value_bits=3;outliers=1)",
        "kvquant(key_bits=4;value_bits=2;outliers=2)",
    ] {
        contract::check(&*calibrated(name)).unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[test]
fn bits_and_outliers_lower_the_error() {
    let [two, three, four] =
        [2, 3, 4].map(|bits| error(&format!("kvquant(key_bits={bits};value_bits={bits})")));
    assert!(two > three && three > four, "2, 3 and 4 bits: {two}, {three}, {four}");
    let apart = error("kvquant(key_bits=3;value_bits=3;outliers=2)");
    assert!(apart < three, "3 bits: {apart} with two outliers of a row apart, {three} without");
}
