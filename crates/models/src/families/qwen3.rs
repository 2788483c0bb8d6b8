//! Qwen3 (Yang et al. 2025): Qwen2 with norms of queries and keys in the place of biases.

use serde_json::json;

use super::base::set_attention_bias;
use super::qwen2::qwen;
use super::{Family, WeightNames};
use crate::ModelError;
use crate::config::Config;
use crate::spec::ModelSpec;

pub(super) const FAMILY: Family = Family {
    model_types: &["qwen3"],
    architectures: &["Qwen3ForCausalLM"],
    spec,
    names: WeightNames::LLAMA,
};

fn spec(config: Config) -> Result<ModelSpec, ModelError> {
    let config = config.or(json!({ "head_dim": 128 }));
    let mut spec = qwen(&config)?;
    set_attention_bias(&mut spec, &config)?;
    spec.layers.iter_mut().for_each(|layer| layer.attention.head_norms = true);
    Ok(spec)
}
