//! What a model is, independent of how its `config.json` spells it.

use crate::decoder::rope::RopeScaling;

/// Everything about a model that decides the size of its caches.
#[derive(Debug, Clone, PartialEq)]
pub struct Geometry {
    /// Number of layers.
    pub layers: usize,
    /// `Hq`: query heads.
    pub query_heads: usize,
    /// `Hkv`: key-value heads.
    pub kv_heads: usize,
    /// `D`: values in one head's key or value.
    pub head_dim: usize,
    /// The longest context, in tokens, that the model was made for.
    pub max_positions: usize,
}

impl Geometry {
    /// Values of keys and values together that one token adds over all layers.
    pub fn values_per_token(&self) -> usize {
        2 * self.layers * self.kv_heads * self.head_dim
    }
}

/// A Llama-style decoder, as data.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSpec {
    /// Layers, heads and context.
    pub geometry: Geometry,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward layer.
    pub intermediate_size: usize,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Added to the mean square in RMSNorm.
    pub norm_eps: f32,
    /// Base of the rotary embedding's wavelengths.
    pub rope_theta: f64,
    /// How wavelengths are stretched for longer contexts.
    pub rope_scaling: RopeScaling,
    /// Whether the output layer is the embedding.
    pub tied_embeddings: bool,
    /// Whether query, key, value and output projections have biases.
    pub attention_bias: bool,
    /// Whether the feed-forward projections have biases.
    pub mlp_bias: bool,
}
