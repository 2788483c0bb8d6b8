//! What a model is, independent of how its `config.json` spells it.

mod rope;

use kvr_kernels::ChannelOrder;
use kvr_kernels::layers::Activation;

pub use rope::{RopeScaling, RopeSpec};

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
    /// The sliding window of each layer, in tokens; `None` reads all, and so do layers beyond the
    /// list.
    pub windows: Vec<Option<usize>>,
}

impl Geometry {
    /// Values of keys and values together that one token adds over all layers.
    pub fn values_per_token(&self) -> usize {
        2 * self.layers * self.kv_heads * self.head_dim
    }

    /// Values of keys and values together that a context of `tokens` holds: layers with a sliding
    /// window hold no more than that.
    pub fn values(&self, tokens: u64) -> u64 {
        let layers = (0..self.layers)
            .map(|layer| self.window(layer).map_or(tokens, |window| tokens.min(window as u64)));
        let tokens = layers.fold(0, u64::saturating_add);
        tokens.saturating_mul(2 * (self.kv_heads * self.head_dim) as u64)
    }

    /// The most tokens whose [`values`](Self::values) are at most `values`; `None` where any
    /// number's are.
    pub fn longest(&self, values: u64) -> Option<u64> {
        if !(0..self.layers).any(|layer| self.window(layer).is_none()) {
            let largest = self.windows.iter().flatten().max().copied().unwrap_or(0);
            if self.values(largest as u64) <= values {
                return None;
            }
        }
        // `values` does not fall as tokens grow: the answer is below the first that are too many.
        let (mut fits, mut too_many) = (0, values.saturating_add(1));
        while too_many - fits > 1 {
            let middle = fits + (too_many - fits) / 2;
            if self.values(middle) <= values { fits = middle } else { too_many = middle }
        }
        Some(fits)
    }

    /// The sliding window of a layer, in tokens.
    pub fn window(&self, layer: usize) -> Option<usize> {
        self.windows.get(layer).copied().flatten()
    }
}

/// A decoder, as data.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSpec {
    /// Layers, heads and context.
    pub geometry: Geometry,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// What embeddings are multiplied by.
    pub embedding_scale: f32,
    /// Added to the mean square in RMSNorm.
    pub norm_eps: f32,
    /// Added to the weights of norms as the file has them: 1 in Gemma, whose files hold what they
    /// differ from 1.
    pub norm_offset: f32,
    /// The rotary embeddings that layers choose from.
    pub ropes: Vec<RopeSpec>,
    /// Which channels the rotary embedding rotates together.
    pub channel_order: ChannelOrder,
    /// The layers.
    pub layers: Vec<LayerSpec>,
    /// Whether the output layer is the embedding.
    pub tied_embeddings: bool,
    /// Logits `x` become `cap · tanh(x / cap)`.
    pub logit_cap: Option<f32>,
}

/// One layer, as data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerSpec {
    /// Attention.
    pub attention: AttentionSpec,
    /// The feed-forward network.
    pub mlp: MlpSpec,
    /// Whether what attention and the feed-forward network give is normalised before it is added.
    pub post_norms: bool,
}

/// Attention of one layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionSpec {
    /// Index of its rotary embedding; `None` leaves queries and keys as they are.
    pub rope: Option<usize>,
    /// Tokens that a query reads at most, its own included; `None` is all.
    pub window: Option<usize>,
    /// What scores are multiplied by.
    pub scale: f32,
    /// Scaled scores `x` become `cap · tanh(x / cap)`.
    pub soft_cap: Option<f32>,
    /// Whether queries and keys are normalised head by head, before the rotary embedding.
    pub head_norms: bool,
    /// Whether the projections to queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Whether the output projection has a bias.
    pub output_bias: bool,
}

/// The feed-forward network of one layer: `down(activation(gate(x)) · up(x))`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MlpSpec {
    /// Width inside.
    pub width: usize,
    /// What the gate goes through.
    pub activation: Activation,
    /// Whether its projections have biases.
    pub bias: bool,
}
