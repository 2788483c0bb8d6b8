//! Heads, windows, scale and caps of attention.

use serde_json::{Map, Value as Json, json};

use super::Source;
use crate::ModelError;
use crate::loaders::gguf::value::Value;

/// Layers after which one has no RoPE in SmolLM3; llama.cpp has it as a constant too.
const NO_ROPE_INTERVAL: usize = 4;

/// Tokens in Gemma 2's windows where a file does not say.
const GEMMA_2_WINDOW: usize = 4096;

/// Layers of the 27B models of Gemma 2 and 3, whose queries are scaled by the width of all heads.
const GEMMA_27B_LAYERS: [(&str, usize); 2] = [("gemma2", 46), ("gemma3", 62)];

pub(super) fn describe(
    source: &Source<'_>,
    window: Option<usize>,
    config: &mut Map<String, Json>,
) -> Result<(), ModelError> {
    // llama.cpp's default; files of Gemma 3 always say it.
    let gemma_2 = source.architecture.name == "gemma2";
    let window = window.or(gemma_2.then_some(GEMMA_2_WINDOW));
    let mut set = |key: &str, value: Json| config.insert(key.to_owned(), value);
    let key = source.key("attention.head_count");
    let heads = source.metadata.required(&key, source.size_of_layers("attention.head_count")?)?;
    let kv_heads = source.size_of_layers("attention.head_count_kv")?.unwrap_or(heads);
    let layers = source.layers()?;
    let dim = head_dim(source, heads)?;
    set("num_attention_heads", json!(heads));
    set("num_key_value_heads", json!(kv_heads));
    set("head_dim", json!(dim));
    set("attention_bias", json!(source.has_tensor("blk.0.attn_q.bias")));
    match source.architecture.name {
        "smollm3" => {
            let with_rope = |layer| usize::from((layer + 1) % NO_ROPE_INTERVAL != 0);
            set("no_rope_layers", (0..layers).map(with_rope).collect());
            set("no_rope_layer_interval", json!(NO_ROPE_INTERVAL));
        }
        name @ ("gemma2" | "gemma3") => {
            let all_heads = GEMMA_27B_LAYERS.contains(&(name, layers)) && heads > 0;
            let hidden = source.required_size("embedding_length")?;
            let scalar = if all_heads { hidden / heads } else { dim };
            set("query_pre_attn_scalar", json!(scalar));
            set("attn_logit_softcapping", json!(cap(source, "attn_logit_softcapping", 50.0)?));
            set("final_logit_softcapping", json!(cap(source, "final_logit_softcapping", 30.0)?));
            set("layer_types", layer_types(source, layers, window.is_some())?);
        }
        _ => {}
    }
    set("sliding_window", json!(window));
    Ok(())
}

fn head_dim(source: &Source<'_>, heads: usize) -> Result<usize, ModelError> {
    let hidden = source.required_size("embedding_length")?;
    let plain = if heads > 0 && hidden.is_multiple_of(heads) { Some(hidden / heads) } else { None };
    let keys = source.size("attention.key_length")?.or(plain);
    let keys = keys.ok_or_else(|| {
        source.metadata.error(
            &source.key("attention.head_count"),
            format!(
                "is {heads}, which does not divide the width {hidden}, and no key_length is given"
            ),
        )
    })?;
    let values = source.size("attention.value_length")?.unwrap_or(keys);
    if values != keys {
        return Err(source.metadata.error(
            &source.key("attention.value_length"),
            format!(
                "is {values}, but keys have {keys}: kvr runs models whose heads are equally wide"
            ),
        ));
    }
    Ok(keys)
}

/// A cap of Gemma 2's logits; Gemma 3 has none.
fn cap(source: &Source<'_>, key: &str, default: f64) -> Result<Option<f64>, ModelError> {
    let default = (source.architecture.name == "gemma2").then_some(default);
    Ok(source.number(key)?.or(default).filter(|cap| *cap > 0.0))
}

/// Which layers see a window only. Newer files say it, as a period or layer by layer.
fn layer_types(source: &Source<'_>, layers: usize, windows: bool) -> Result<Json, ModelError> {
    let key = source.key("attention.sliding_window_pattern");
    let of = |sliding| json!(if sliding { "sliding_attention" } else { "full_attention" });
    let default = if source.architecture.name == "gemma2" { 2 } else { 6 };
    if let Some(Value::Array(array)) = source.metadata.get(&key) {
        let sliding = array.values().map(|value| match value {
            Value::Bool(sliding) => Some(sliding),
            other => other.size().map(|n| n != 0),
        });
        let sliding: Option<Vec<bool>> = sliding.collect();
        return match sliding {
            Some(sliding) if sliding.len() == layers => Ok(sliding.into_iter().map(of).collect()),
            _ => Err(source.metadata.error(
                &key,
                format!("is no array of true and false for {layers} layers: fetch the file again"),
            )),
        };
    }
    if !windows {
        return Ok(vec![of(false); layers].into());
    }
    let period = source.size("attention.sliding_window_pattern")?.unwrap_or(default).max(1);
    Ok((1..=layers).map(|layer| of(!layer.is_multiple_of(period))).collect())
}
