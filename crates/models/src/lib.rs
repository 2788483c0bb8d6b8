//! One Llama-style decoder on Burn, the families that run on it, and where models come from.
//!
//! The decoder's attention is whatever the [`kvr_policy::LayerCache`] of each layer answers; this
//! crate names no policy.

mod aliases;
mod config;
mod decoder;
mod error;
mod families;
pub mod geometries;
mod gguf_source;
mod hub;
pub mod loaders;
mod mini;
mod source;
mod spec;
mod tokenizer;
mod weights;

pub use aliases::{ALIASES, Alias};
pub use decoder::{Caches, Decoder, Lengths, caches};
pub use error::ModelError;
pub use gguf_source::GgufSource;
pub use hub::Hub;
pub use source::{Model, ModelSource, geometry};
pub use spec::{AttentionSpec, Geometry, LayerSpec, MlpSpec, ModelSpec, RopeScaling, RopeSpec};
pub use tokenizer::Tokenizer;

/// Bytes as lower-case hexadecimal digits, as digests are written.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
