//! Reading a cache without unpacking it whole.

use std::ops::Range;

use burn::Tensor;

use crate::PolicyError;

/// Some consecutive tokens of a cache, as the policy stored them and decoded again.
#[derive(Debug, Clone)]
pub struct Tile {
    /// Keys after RoPE, `[B, Hkv, S_tile, D]`, f32.
    pub keys: Tensor<4>,
    /// Values, `[B, Hkv, S_tile, D]`, f32.
    pub values: Tensor<4>,
    /// Absolute positions of the tile's tokens in the text; a query reads those at or before its own.
    pub positions: Range<usize>,
}

/// A cache as attention reads it: tile by tile, so that a packed cache is never unpacked whole.
pub trait CacheView {
    /// Tokens held, `S`.
    fn tokens(&self) -> usize;

    /// Number of tiles.
    fn tiles(&self) -> usize;

    /// Absolute positions of tile `index`, without decoding it.
    fn tile_positions(&self, index: usize) -> Range<usize>;

    /// Decodes tile `index`, which is below [`tiles`](Self::tiles).
    ///
    /// # Errors
    /// When the device fails.
    fn tile(&self, index: usize) -> Result<Tile, PolicyError>;
}
