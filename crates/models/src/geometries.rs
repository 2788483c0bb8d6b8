//! Geometries of well-known models, for memory and speed where no weights are at hand.
//!
//! Source: the `config.json` of each repository on the Hugging Face hub.

use crate::decoder::rope::RopeScaling;
use crate::spec::{Geometry, ModelSpec};

/// Name, layers, query heads, key-value heads, head_dim, context, hidden, intermediate, vocabulary, RoPE base.
type Row = (&'static str, [usize; 8], f64);

const TABLE: &[Row] = &[
    ("tinyllama", [22, 32, 4, 64, 2048, 2048, 5632, 32_000], 1e4),
    ("llama-2-7b", [32, 32, 32, 128, 4096, 4096, 11_008, 32_000], 1e4),
    ("llama-3-8b", [32, 32, 8, 128, 8192, 4096, 14_336, 128_256], 5e5),
    ("mistral-7b", [32, 32, 8, 128, 32_768, 4096, 14_336, 32_000], 1e4),
    ("qwen2.5-7b", [28, 28, 4, 128, 32_768, 3584, 18_944, 152_064], 1e6),
    ("phi-3-mini", [32, 32, 32, 96, 4096, 3072, 8192, 32_064], 1e4),
];

/// The names of the built-in geometries.
pub fn names() -> impl Iterator<Item = &'static str> + Clone {
    TABLE.iter().map(|(name, ..)| *name)
}

/// The geometry of that name as a Llama-style decoder, or `None`.
pub fn named(name: &str) -> Option<ModelSpec> {
    let (_, sizes, rope_theta) = TABLE.iter().find(|(known, ..)| *known == name)?;
    let [
        layers,
        query_heads,
        kv_heads,
        head_dim,
        max_positions,
        hidden_size,
        intermediate_size,
        vocab_size,
    ] = *sizes;
    Some(ModelSpec {
        geometry: Geometry { layers, query_heads, kv_heads, head_dim, max_positions },
        hidden_size,
        intermediate_size,
        vocab_size,
        norm_eps: 1e-5,
        rope_theta: *rope_theta,
        rope_scaling: RopeScaling::None,
        tied_embeddings: false,
        attention_bias: false,
        mlp_bias: false,
    })
}
