//! The rotary embedding: base, the part of a head that is rotated, and scaling for long contexts.

use serde_json::{Map, Value as Json, json};

use super::Source;
use crate::ModelError;
use crate::loaders::gguf::BlockType;

/// What llama.cpp assumes where no base is given.
const BASE: f64 = 10_000.0;

/// Adds `rope_parameters`, one for all layers or (Gemma 3) one for each kind of layer.
pub(super) fn describe(
    source: &Source<'_>,
    config: &mut Map<String, Json>,
) -> Result<(), ModelError> {
    let base = source.number("rope.freq_base")?.unwrap_or(BASE);
    let mut rope = scaling(source, config)?;
    rope.insert("rope_theta".into(), json!(base));
    if let Some(rotated) = source.size("rope.dimension_count")?
        && let Some(dim) = config.get("head_dim").and_then(Json::as_u64)
        && rotated as u64 != dim
    {
        let fraction = rotated as f64 / dim as f64;
        if !(fraction > 0.0 && fraction < 1.0) {
            return Err(source.metadata.error(
                &source.key("rope.dimension_count"),
                format!("is {rotated}, but a head has {dim} channels: fetch the file again"),
            ));
        }
        rope.insert("partial_rotary_factor".into(), json!(fraction));
        config.insert("partial_rotary_factor".into(), json!(fraction));
    }
    let parameters = if source.architecture.name == "gemma3" {
        // Only layers without a window have the long base and the scaling.
        let local = source.number("rope.freq_base_swa")?.unwrap_or(BASE);
        json!({
            "full_attention": rope,
            "sliding_attention": { "rope_type": "default", "rope_theta": local },
        })
    } else {
        Json::Object(rope)
    };
    config.insert("rope_parameters".into(), parameters);
    Ok(())
}

fn scaling(
    source: &Source<'_>,
    config: &mut Map<String, Json>,
) -> Result<Map<String, Json>, ModelError> {
    let mut rope = Map::new();
    let mut set = |key: &str, value: Json| rope.insert(key.to_owned(), value);
    let original = source.size("rope.scaling.original_context_length")?;
    let attention = source.number("rope.scaling.attn_factor")?;
    let key = source.key("rope.scaling.type");
    let kind = source.metadata.text(&key)?.unwrap_or("none");
    let factor = match source.number("rope.scaling.factor")? {
        Some(factor) => Some(factor),
        // The spelling of 2023.
        None => source.number("rope.scale_linear")?,
    };
    let factor = factor.filter(|factor| *factor > 0.0 && *factor != 1.0);
    if let Some((long, short)) = factors(source)? {
        let context = config.get("max_position_embeddings").cloned().unwrap_or(Json::Null);
        let original = original.map_or(context, |n| json!(n));
        set("rope_type", json!("longrope"));
        set("long_factor", json!(long));
        set("short_factor", json!(short));
        set("original_max_position_embeddings", original.clone());
        set("attention_factor", json!(attention.unwrap_or(1.0)));
        config.insert("original_max_position_embeddings".into(), original);
        return Ok(rope);
    }
    match (kind, factor) {
        ("none" | "linear" | "longrope", None) => {
            set("rope_type", json!("default"));
        }
        // A factor without a kind is linear, as in files from before the key was there.
        ("none" | "linear", Some(factor)) => {
            set("rope_type", json!("linear"));
            set("factor", json!(factor));
        }
        ("yarn", Some(factor)) => {
            set("rope_type", json!("yarn"));
            set("factor", json!(factor));
            if let Some(original) = original {
                set("original_max_position_embeddings", json!(original));
            }
            if let Some(attention) = attention {
                // llama.cpp multiplies by YaRN's own factor, Hugging Face replaces it.
                set("attention_factor", json!(attention * (1.0 + 0.1 * factor.ln())));
            }
            for (name, key) in [("beta_fast", "yarn_beta_fast"), ("beta_slow", "yarn_beta_slow")] {
                if let Some(beta) = source.number(&format!("rope.scaling.{key}"))? {
                    set(name, json!(beta));
                }
            }
        }
        ("yarn", None) => {
            return Err(source.metadata.error(
                &key,
                "is \"yarn\", but rope.scaling.factor is missing or 1: fetch the file again",
            ));
        }
        (kind, _) => {
            return Err(source.metadata.error(
                &key,
                format!("is {kind:?}, which is not supported (none, linear, yarn, longrope are)"),
            ));
        }
    }
    Ok(rope)
}

type LongAndShort = (Vec<f32>, Vec<f32>);

/// The factors of wavelengths that a file has as tensors: Phi-3's for long and short contexts, or
/// Llama 3's for all.
fn factors(source: &Source<'_>) -> Result<Option<LongAndShort>, ModelError> {
    let all = values(source, "rope_freqs.weight")?;
    let long = values(source, "rope_factors_long.weight")?;
    let short = values(source, "rope_factors_short.weight")?;
    match (all, long, short) {
        (Some(all), None, None) if all.iter().all(|factor| *factor == 1.0) => Ok(None),
        (Some(all), None, None) => Ok(Some((all.clone(), all))),
        (None, Some(long), Some(short)) => Ok(Some((long, short))),
        (None, None, None) => Ok(None),
        _ => Err(ModelError::file(
            source.gguf.file(),
            "needs either tensor rope_freqs.weight or both rope_factors_long.weight and \
             rope_factors_short.weight: fetch it again",
        )),
    }
}

fn values(source: &Source<'_>, name: &str) -> Result<Option<Vec<f32>>, ModelError> {
    let Some(tensor) = source.gguf.tensor(name) else { return Ok(None) };
    let error =
        |problem: &str| ModelError::file(source.gguf.file(), format!("tensor {name} {problem}"));
    if tensor.block_type != BlockType::F32 || tensor.shape.len() != 1 {
        return Err(error("is no list of F32: convert the model again"));
    }
    let words = tensor.bytes.chunks_exact(4);
    let values: Vec<f32> = words.map(|w| f32::from_le_bytes([w[0], w[1], w[2], w[3]])).collect();
    if values.iter().any(|factor| !(factor.is_finite() && *factor > 0.0)) {
        return Err(error("has a factor that is not positive: fetch the file again"));
    }
    Ok(Some(values))
}
