//! Phi-3 and Phi-4 (Abdin et al. 2024): Llama with one matrix for queries, keys and values and one
//! for gate and up, a sliding window in all layers or none, longrope, and a rotary embedding of a
//! part of the channels.

use serde_json::json;

use super::base::{decoder, set_windows};
use super::{Family, WeightNames};
use crate::ModelError;
use crate::config::{Config, RopeKeys};
use crate::spec::ModelSpec;

pub(super) const FAMILY: Family = Family {
    model_types: &["phi3"],
    architectures: &["Phi3ForCausalLM"],
    spec,
    names: WeightNames {
        qkv: &["self_attn.qkv_proj"],
        gate_up: &["mlp.gate_up_proj"],
        ..WeightNames::LLAMA
    },
};

fn spec(config: Config) -> Result<ModelSpec, ModelError> {
    let config = config.or(json!({ "rms_norm_eps": 1e-5 }));
    let keys = RopeKeys { partial: true, always_longrope: true, ..RopeKeys::default() };
    let mut spec = decoder(&config, keys)?;
    let window = config.optional_size("sliding_window")?;
    let windows = vec![window; spec.layers.len()];
    set_windows(&mut spec, windows);
    Ok(spec)
}
