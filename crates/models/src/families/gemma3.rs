//! Gemma 3 (Kamath et al. 2025): norms of queries and keys, and one layer in six that reads
//! everything, with a rotary embedding of its own. Of a model for images and text, the text part is
//! run.

use serde_json::json;

use super::base::{gemma, set_windows};
use super::{Family, WeightNames};
use crate::ModelError;
use crate::config::{Config, RopeKeys, heads, rope, windows};
use crate::spec::ModelSpec;

pub(super) const FAMILY: Family = Family {
    model_types: &["gemma3_text", "gemma3"],
    architectures: &["Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"],
    spec,
    names: WeightNames {
        prefixes: &["model.", "language_model.model.", "model.language_model."],
        ignored_beginnings: &[
            "vision_tower.",
            "multi_modal_projector.",
            "model.vision_tower.",
            "model.multi_modal_projector.",
        ],
        ..WeightNames::GEMMA
    },
};

/// The rotary embedding of layers that read everything, and of those with a window.
const GLOBAL: RopeKeys =
    RopeKeys { theta: 1e6, theta_key: "rope_theta", partial: false, always_longrope: false };
const LOCAL: RopeKeys = RopeKeys { theta: 1e4, theta_key: "rope_local_base_freq", ..GLOBAL };

fn spec(config: Config) -> Result<ModelSpec, ModelError> {
    let config = config.section("text_config")?.unwrap_or(config).or(json!({
        "vocab_size": 262_208,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "max_position_embeddings": 131_072,
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": 256,
        "sliding_window": 4096,
        "sliding_window_pattern": 6,
        "tie_word_embeddings": true,
    }));
    // Newer files have an object for each kind of layer, older ones only scale what reads
    // everything.
    let parameters = config.section("rope_parameters")?;
    let of = |kind: &str| match &parameters {
        Some(parameters) => parameters.section(kind),
        None => Ok(None),
    };
    let global = match config.section("rope_scaling")? {
        Some(scaling) => Some(scaling),
        None => of("full_attention")?,
    };
    let local = of("sliding_attention")?;
    let heads = heads(&config)?;
    let ropes = vec![
        rope(&config, Some(global.unwrap_or_else(|| config.empty())), heads, GLOBAL)?,
        rope(&config, Some(local.unwrap_or_else(|| config.empty())), heads, LOCAL)?,
    ];
    let mut spec = gemma(&config, GLOBAL)?;
    spec.ropes = ropes;
    let pattern = config.size("sliding_window_pattern")?;
    let windows =
        windows(&config, spec.layers.len(), |layer| !(layer + 1).is_multiple_of(pattern))?;
    for (layer, window) in spec.layers.iter_mut().zip(&windows) {
        layer.attention.rope = Some(usize::from(window.is_some()));
        layer.attention.head_norms = true;
    }
    set_windows(&mut spec, windows);
    Ok(spec)
}
