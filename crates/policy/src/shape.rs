//! The geometry that a policy is told when it makes the cache of one layer.

use burn::tensor::Device;

/// What one layer's cache has to hold, and where.
///
/// Axis letters used everywhere in this crate: `B` batch, `Hq` query heads, `Hkv` key-value heads,
/// `S` tokens, `D` head_dim.
#[derive(Debug, Clone)]
pub struct LayerGeometry {
    /// Index of this layer, from 0.
    pub layer: usize,
    /// Number of layers in the model.
    pub layers: usize,
    /// `B`: sequences that advance together.
    pub batch: usize,
    /// `Hq`: query heads.
    pub query_heads: usize,
    /// `Hkv`: key-value heads; divides `query_heads`.
    pub kv_heads: usize,
    /// `D`: values in one head's key or value.
    pub head_dim: usize,
    /// Where the cache's tensors live.
    pub device: Device,
}
