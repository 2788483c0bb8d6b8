//! Mistral (Jiang et al. 2023): Llama with the same sliding window in all layers, or none.

use serde_json::json;

use super::base::{decoder, set_windows};
use super::{Family, WeightNames};
use crate::ModelError;
use crate::config::{Config, RopeKeys};
use crate::spec::ModelSpec;

pub(super) const FAMILY: Family = Family {
    model_types: &["mistral"],
    architectures: &["MistralForCausalLM"],
    spec,
    names: WeightNames::LLAMA,
};

fn spec(config: Config) -> Result<ModelSpec, ModelError> {
    let config = config.or(json!({ "num_key_value_heads": 8, "sliding_window": 4096 }));
    let mut spec = decoder(&config, RopeKeys::default())?;
    // As in transformers, which leaves `layer_types` to other families.
    let window = config.optional_size("sliding_window")?;
    let windows = vec![window; spec.layers.len()];
    set_windows(&mut spec, windows);
    Ok(spec)
}
