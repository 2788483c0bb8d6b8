//! What Hugging Face calls the tensors of a GGUF.
//!
//! Source: `gguf.tensor_mapping` of the Python package `gguf`, which llama.cpp's converter uses the
//! other way round.

/// Tensors outside the layers.
const OUTER: [(&str, &str); 3] =
    [("token_embd", "model.embed_tokens"), ("output_norm", "model.norm"), ("output", "lm_head")];

/// Tensors of a layer that have one name in every family.
const LAYER: [(&str, &str); 11] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_qkv", "self_attn.qkv_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// The norm before the feed-forward layer, where the block has two norms.
pub(super) const TWO_NORMS: &[(&str, &str)] = &[("ffn_norm", "post_attention_layernorm")];

/// The same of Phi-3, whose gate and up projections are one matrix.
pub(super) const FUSED_GATE: &[(&str, &str)] =
    &[("ffn_norm", "post_attention_layernorm"), ("ffn_up", "mlp.gate_up_proj")];

/// Norms on both sides of attention and feed-forward layer (Gemma 2 and 3).
pub(super) const FOUR_NORMS: &[(&str, &str)] = &[
    ("post_attention_norm", "post_attention_layernorm"),
    ("ffn_norm", "pre_feedforward_layernorm"),
    ("post_ffw_norm", "post_feedforward_layernorm"),
];

/// Hugging Face's name of the tensor that a GGUF calls `name`, where `own` are the names of its
/// architecture.
pub(super) fn hugging_face(own: &[(&str, &'static str)], name: &str) -> Option<String> {
    let (stem, kind) = name.rsplit_once('.')?;
    if !matches!(kind, "weight" | "bias") {
        return None;
    }
    let find = |table: &[(&str, &'static str)], stem: &str| {
        table.iter().find(|(gguf, _)| *gguf == stem).map(|(_, name)| *name)
    };
    let Some(rest) = stem.strip_prefix("blk.") else {
        return find(&OUTER, stem).map(|outer| format!("{outer}.{kind}"));
    };
    let (layer, stem) = rest.split_once('.')?;
    let layer: usize = layer.parse().ok()?;
    let inner = find(own, stem).or_else(|| find(&LAYER, stem))?;
    Some(format!("model.layers.{layer}.{inner}.{kind}"))
}
