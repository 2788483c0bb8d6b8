//! Heads, and which layers have a sliding window.

use super::Config;
use crate::ModelError;

/// The heads of every layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    pub(crate) query: usize,
    pub(crate) kv: usize,
    pub(crate) dim: usize,
}

/// Reads the heads; without `head_dim` they share `hidden_size`, without `num_key_value_heads`
/// there are as many as query heads.
pub(crate) fn heads(config: &Config) -> Result<Heads, ModelError> {
    let query = config.size("num_attention_heads")?;
    let kv = config.optional_size("num_key_value_heads")?.unwrap_or(query);
    if !query.is_multiple_of(kv) {
        return Err(config.error(format!(
            "num_attention_heads {query} is no multiple of num_key_value_heads {kv}"
        )));
    }
    let dim = match config.optional_size("head_dim")? {
        Some(dim) => dim,
        None => {
            let hidden = config.size("hidden_size")?;
            if !hidden.is_multiple_of(query) {
                return Err(config.error(format!(
                    "head_dim is not given, and hidden_size {hidden} is no multiple of \
                     num_attention_heads {query}"
                )));
            }
            hidden / query
        }
    };
    if !dim.is_multiple_of(2) {
        return Err(config.error(format!("head_dim {dim} is odd, and RoPE turns pairs")));
    }
    Ok(Heads { query, kv, dim })
}

/// The window of each of `layers` layers: `layer_types` where the config has it, else `sliding`
/// says which layers have one. The width is `sliding_window`.
pub(crate) fn windows(
    config: &Config,
    layers: usize,
    sliding: impl Fn(usize) -> bool,
) -> Result<Vec<Option<usize>>, ModelError> {
    let width = config.optional_size("sliding_window")?;
    let types = config.list("layer_types")?;
    if let Some(types) = types
        && types.len() != layers
    {
        return Err(config.error(format!(
            "layer_types names {} layers, but num_hidden_layers is {layers}",
            types.len()
        )));
    }
    let window = |layer: usize| {
        let slides = match types {
            Some(types) => types[layer].as_str() == Some("sliding_attention"),
            None => sliding(layer),
        };
        match (slides, width) {
            (false, _) => Ok(None),
            (true, Some(width)) => Ok(Some(width)),
            (true, None) => Err(config.error(format!(
                "layer_types gives layer {layer} a sliding window, but sliding_window and \
                 use_sliding_window give none"
            ))),
        }
    };
    (0..layers).map(window).collect()
}
