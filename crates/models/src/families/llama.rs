//! Llama (Touvron et al. 2023) and whatever calls itself `LlamaForCausalLM`: TinyLlama, Llama 2 and 3.

use super::{Family, WeightNames};
use crate::ModelError;
use crate::config::RawConfig;
use crate::spec::ModelSpec;

pub(super) const FAMILY: Family = Family {
    model_type: "llama",
    architecture: "LlamaForCausalLM",
    spec,
    names: WeightNames {
        embedding: "model.embed_tokens",
        final_norm: "model.norm",
        head: "lm_head",
        attention_norm: "model.layers.{}.input_layernorm",
        query: "model.layers.{}.self_attn.q_proj",
        key: "model.layers.{}.self_attn.k_proj",
        value: "model.layers.{}.self_attn.v_proj",
        output: "model.layers.{}.self_attn.o_proj",
        mlp_norm: "model.layers.{}.post_attention_layernorm",
        gate: "model.layers.{}.mlp.gate_proj",
        up: "model.layers.{}.mlp.up_proj",
        down: "model.layers.{}.mlp.down_proj",
        // Checkpoints converted by older programs carry RoPE's frequencies.
        ignored: &["rotary_emb.inv_freq"],
    },
};

fn spec(config: &RawConfig, file: &str) -> Result<ModelSpec, ModelError> {
    if let Some(act) = &config.hidden_act
        && act != "silu"
    {
        return Err(ModelError::file(
            file,
            format!("hidden_act '{act}' is not supported (silu is)"),
        ));
    }
    let (rope_theta, rope_scaling) = config.rope(file)?;
    let norm_eps = config.rms_norm_eps.unwrap_or(1e-6);
    if !(norm_eps.is_finite() && norm_eps > 0.0) {
        return Err(ModelError::file(
            file,
            format!("rms_norm_eps is {norm_eps}, expected a positive number"),
        ));
    }
    Ok(ModelSpec {
        geometry: config.geometry(file)?,
        hidden_size: config.size("hidden_size", config.hidden_size, file)?,
        intermediate_size: config.size("intermediate_size", config.intermediate_size, file)?,
        vocab_size: config.size("vocab_size", config.vocab_size, file)?,
        norm_eps: norm_eps as f32,
        rope_theta,
        rope_scaling,
        tied_embeddings: config.tie_word_embeddings.unwrap_or(false),
        attention_bias: config.attention_bias.unwrap_or(false),
        mlp_bias: config.mlp_bias.unwrap_or(false),
    })
}
