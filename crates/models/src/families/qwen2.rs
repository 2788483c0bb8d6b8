//! Qwen2 and Qwen2.5 (Yang et al. 2024): Llama with biases on queries, keys and values, and a
//! sliding window in the layers from `max_window_layers` on where `use_sliding_window` says so.

use serde_json::json;

use super::base::{decoder, set_windows};
use super::{Family, WeightNames};
use crate::ModelError;
use crate::config::{Config, RopeKeys, windows};
use crate::spec::ModelSpec;

pub(super) const FAMILY: Family = Family {
    model_types: &["qwen2"],
    architectures: &["Qwen2ForCausalLM"],
    spec,
    names: WeightNames::LLAMA,
};

fn spec(config: Config) -> Result<ModelSpec, ModelError> {
    let mut spec = qwen(&config)?;
    spec.layers.iter_mut().for_each(|layer| layer.attention.qkv_bias = true);
    Ok(spec)
}

/// What Qwen2 and Qwen3 have in common: the windows.
pub(super) fn qwen(config: &Config) -> Result<ModelSpec, ModelError> {
    let config = config.clone().or(json!({ "sliding_window": 4096, "max_window_layers": 28 }));
    let config = match config.flag("use_sliding_window", false)? {
        true => config,
        false => config.without("sliding_window"),
    };
    let mut spec = decoder(&config, RopeKeys::default())?;
    // 0 is a number of layers too.
    let first = config.number("max_window_layers")?.unwrap_or(0.0);
    let any = config.get("sliding_window").is_some();
    let windows = windows(&config, spec.layers.len(), |layer| any && layer as f64 >= first)?;
    set_windows(&mut spec, windows);
    Ok(spec)
}
