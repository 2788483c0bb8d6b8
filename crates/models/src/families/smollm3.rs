//! SmolLM3 (Hugging Face 2025): Llama, but every fourth layer has no rotary embedding.

use serde_json::json;

use super::base::{decoder, set_attention_bias, set_windows};
use super::{Family, WeightNames};
use crate::ModelError;
use crate::config::{Config, RopeKeys, windows};
use crate::spec::ModelSpec;

pub(super) const FAMILY: Family = Family {
    model_types: &["smollm3"],
    architectures: &["SmolLM3ForCausalLM"],
    spec,
    names: WeightNames::LLAMA,
};

fn spec(config: Config) -> Result<ModelSpec, ModelError> {
    let config = config.or(json!({
        "num_key_value_heads": 4,
        "no_rope_layer_interval": 4,
        "tie_word_embeddings": true,
    }));
    let mut spec = decoder(&config, RopeKeys { theta: 2e6, ..RopeKeys::default() })?;
    set_attention_bias(&mut spec, &config)?;
    let mlp_bias = config.flag("mlp_bias", false)?;
    let layers = spec.layers.len();
    let rotated = rotated(&config, layers)?;
    for (layer, rotated) in spec.layers.iter_mut().zip(&rotated) {
        layer.mlp.bias = mlp_bias;
        layer.attention.rope = rotated.then_some(0);
    }
    let windowed = config.flag("use_sliding_window", false)?
        && config.optional_size("sliding_window")?.is_some();
    let windows = windows(&config, layers, |layer| windowed && !rotated[layer])?;
    set_windows(&mut spec, windows);
    Ok(spec)
}

/// Which layers have a rotary embedding: those with a 1 in `no_rope_layers`, or all but every nth.
fn rotated(config: &Config, layers: usize) -> Result<Vec<bool>, ModelError> {
    const LIST: &str = "no_rope_layers";
    let Some(list) = config.list(LIST)? else {
        let interval = config.size("no_rope_layer_interval")?;
        return Ok((1..=layers).map(|layer| !layer.is_multiple_of(interval)).collect());
    };
    let flags = list.iter().take(layers).map(|flag| match flag.as_u64() {
        Some(flag @ 0..=1) => Some(flag == 1),
        _ => flag.as_bool(),
    });
    match flags.collect::<Option<Vec<bool>>>() {
        Some(flags) if flags.len() == layers => Ok(flags),
        _ => Err(config.wrong(LIST, &format!("{layers} ones and zeros, one a layer"))),
    }
}
