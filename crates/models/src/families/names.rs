//! What weights are called in Hugging Face's checkpoints.

/// Names of the weights of a model, without their endings `.weight` and `.bias`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WeightNames {
    /// What may stand before the embedding, the layers and the final norm. The first that the file
    /// has serves.
    pub(crate) prefixes: &'static [&'static str],
    pub(crate) embedding: &'static str,
    pub(crate) final_norm: &'static str,
    pub(crate) head: &'static str,
    /// What stands between the prefix and the names of a layer; `{}` is its index.
    pub(crate) layer: &'static str,
    pub(crate) attention_norm: &'static str,
    pub(crate) post_attention_norm: &'static str,
    /// Rows of queries, keys and values, in one matrix or in several.
    pub(crate) qkv: &'static [&'static str],
    pub(crate) query_norm: &'static str,
    pub(crate) key_norm: &'static str,
    pub(crate) output: &'static str,
    pub(crate) mlp_norm: &'static str,
    pub(crate) post_mlp_norm: &'static str,
    /// Rows of gate and up, in one matrix or in two.
    pub(crate) gate_up: &'static [&'static str],
    pub(crate) down: &'static str,
    /// Endings of tensors that checkpoints carry and the decoder computes itself.
    pub(crate) ignored_endings: &'static [&'static str],
    /// Beginnings of tensors of other parts of the model.
    pub(crate) ignored_beginnings: &'static [&'static str],
}

impl WeightNames {
    /// Llama's names, which most families use.
    pub(crate) const LLAMA: Self = Self {
        prefixes: &["model."],
        embedding: "embed_tokens",
        final_norm: "norm",
        head: "lm_head",
        layer: "layers.{}.",
        attention_norm: "input_layernorm",
        post_attention_norm: "post_attention_layernorm",
        qkv: &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
        query_norm: "self_attn.q_norm",
        key_norm: "self_attn.k_norm",
        output: "self_attn.o_proj",
        mlp_norm: "post_attention_layernorm",
        post_mlp_norm: "post_feedforward_layernorm",
        gate_up: &["mlp.gate_proj", "mlp.up_proj"],
        down: "mlp.down_proj",
        // Checkpoints converted by older programs carry RoPE's frequencies.
        ignored_endings: &["rotary_emb.inv_freq"],
        ignored_beginnings: &[],
    };

    /// Gemma's names: four norms a layer.
    pub(crate) const GEMMA: Self = Self { mlp_norm: "pre_feedforward_layernorm", ..Self::LLAMA };
}
