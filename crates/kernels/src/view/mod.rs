//! Reading a cache without unpacking it whole.

mod beside;
mod chain;
mod positioned;

use std::ops::Range;

use burn::Tensor;

use crate::error::KernelError;

pub use beside::Beside;
pub use chain::Chain;
pub use positioned::Positioned;

/// Some consecutive tokens of a cache, as the policy stored them and decoded again.
#[derive(Debug, Clone)]
pub struct Tile {
    /// Keys after RoPE, `[B, Hkv, S_tile, D]`, f32.
    pub keys: Tensor<4>,
    /// Values, `[B, Hkv, S_tile, D]`, f32.
    pub values: Tensor<4>,
    /// The tokens, in the cache's own count.
    pub tokens: Range<usize>,
}

/// A cache as attention reads it: tile by tile, so that a packed cache is never unpacked whole.
pub trait CacheView {
    /// Tokens held, `S`; where heads hold different numbers, the largest.
    fn tokens(&self) -> usize;

    /// Number of tiles.
    fn tiles(&self) -> usize;

    /// The tokens of tile `index` in the cache's own count, without decoding it. Tiles follow each
    /// other and cover all tokens.
    fn tile_tokens(&self, index: usize) -> Range<usize>;

    /// Decodes tile `index`, which is below [`tiles`](Self::tiles). Where a head holds fewer tokens
    /// than others, its rows end in zeros that no query reads.
    ///
    /// # Errors
    /// When the device fails.
    fn tile(&self, index: usize) -> Result<Tile, KernelError>;

    /// Absolute positions in the text of the tokens that one head of one sequence holds.
    fn positions(&self, sequence: usize, head: usize) -> Vec<usize> {
        let _ = (sequence, head);
        (0..self.tokens()).collect()
    }
}

impl<T: CacheView + ?Sized> CacheView for &T {
    fn tokens(&self) -> usize {
        (**self).tokens()
    }

    fn tiles(&self) -> usize {
        (**self).tiles()
    }

    fn tile_tokens(&self, index: usize) -> Range<usize> {
        (**self).tile_tokens(index)
    }

    fn tile(&self, index: usize) -> Result<Tile, KernelError> {
        (**self).tile(index)
    }

    fn positions(&self, sequence: usize, head: usize) -> Vec<usize> {
        (**self).positions(sequence, head)
    }
}

/// Decodes the tokens `range` of a view: keys and values, `[B, Hkv, range, D]` each.
///
/// # Errors
/// When the device fails, or the range holds nothing.
pub fn rows(
    view: &dyn CacheView,
    range: Range<usize>,
) -> Result<(Tensor<4>, Tensor<4>), KernelError> {
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    for index in 0..view.tiles() {
        let tokens = view.tile_tokens(index);
        let (from, to) = (range.start.max(tokens.start), range.end.min(tokens.end));
        if from < to {
            let tile = view.tile(index)?;
            keys.push(tile.keys.narrow(2, from - tokens.start, to - from));
            values.push(tile.values.narrow(2, from - tokens.start, to - from));
        }
    }
    if keys.is_empty() {
        return Err(KernelError::Shape {
            what: "tokens to read",
            expected: format!("some of the {} held", view.tokens()),
            got: format!("{range:?}"),
        });
    }
    Ok((Tensor::cat(keys, 2), Tensor::cat(values, 2)))
}
