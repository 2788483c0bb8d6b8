//! Gemma 2 (Riviere et al. 2024): every other layer has a sliding window, scores and logits are
//! capped.

use serde_json::json;

use super::base::{gemma, set_windows};
use super::{Family, WeightNames};
use crate::ModelError;
use crate::config::{Config, RopeKeys, windows};
use crate::spec::ModelSpec;

pub(super) const FAMILY: Family = Family {
    model_types: &["gemma2"],
    architectures: &["Gemma2ForCausalLM"],
    spec,
    names: WeightNames::GEMMA,
};

fn spec(config: Config) -> Result<ModelSpec, ModelError> {
    let config = config.or(json!({
        "head_dim": 256,
        "num_key_value_heads": 4,
        "max_position_embeddings": 8192,
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": 256,
        "sliding_window": 4096,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
        "tie_word_embeddings": true,
    }));
    let mut spec = gemma(&config, RopeKeys::default())?;
    let cap = config.positive("attn_logit_softcapping")?.map(|cap| cap as f32);
    spec.layers.iter_mut().for_each(|layer| layer.attention.soft_cap = cap);
    let windows = windows(&config, spec.layers.len(), |layer| layer.is_multiple_of(2))?;
    set_windows(&mut spec, windows);
    Ok(spec)
}
