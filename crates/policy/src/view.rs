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
    fn tile(&self, index: usize) -> Result<Tile, PolicyError>;

    /// Absolute positions in the text of the tokens that one head of one sequence holds.
    fn positions(&self, sequence: usize, head: usize) -> Vec<usize> {
        let _ = (sequence, head);
        (0..self.tokens()).collect()
    }
}

/// One tile whose heads (along `dim` 1) or sequences (`dim` 0) come from several; short ones are
/// padded with zeros.
pub(crate) fn beside(tiles: Vec<Tile>, dim: usize) -> Tile {
    let start = tiles[0].tokens.start;
    let end = tiles.iter().map(|tile| tile.tokens.end).max().unwrap_or(start);
    let padded = |rows: Tensor<4>| {
        let [b, h, n, d] = rows.dims();
        if n == end - start {
            return rows;
        }
        let zeros = Tensor::zeros([b, h, end - start - n, d], &rows.device());
        Tensor::cat(vec![rows, zeros], 2)
    };
    let (keys, values) =
        tiles.into_iter().map(|tile| (padded(tile.keys), padded(tile.values))).unzip();
    Tile { keys: Tensor::cat(keys, dim), values: Tensor::cat(values, dim), tokens: start..end }
}

/// Decodes the tokens `range` of a view: keys and values, `[B, Hkv, range, D]` each.
///
/// # Errors
/// When the device fails, or the range holds nothing.
pub fn rows(
    view: &dyn CacheView,
    range: Range<usize>,
) -> Result<(Tensor<4>, Tensor<4>), PolicyError> {
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
        return Err(PolicyError::Shape {
            what: "tokens to read",
            expected: format!("some of the {} held", view.tokens()),
            got: format!("{range:?}"),
        });
    }
    Ok((Tensor::cat(keys, 2), Tensor::cat(values, 2)))
}

/// Several views that follow each other, as one: what a cache made of several stores delegates to.
pub(crate) struct Chain<'a, const N: usize>(pub(crate) [&'a dyn CacheView; N]);

impl<const N: usize> Chain<'_, N> {
    /// The part that holds tile `index`, its first token, and the index in it.
    fn find(&self, mut index: usize) -> (&dyn CacheView, usize, usize) {
        let mut first = 0;
        for part in &self.0[..N - 1] {
            if index < part.tiles() {
                return (*part, first, index);
            }
            index -= part.tiles();
            first += part.tokens();
        }
        (self.0[N - 1], first, index)
    }
}

impl<const N: usize> CacheView for Chain<'_, N> {
    fn tokens(&self) -> usize {
        self.0.iter().map(|part| part.tokens()).sum()
    }

    fn tiles(&self) -> usize {
        self.0.iter().map(|part| part.tiles()).sum()
    }

    fn tile_tokens(&self, index: usize) -> Range<usize> {
        let (part, first, index) = self.find(index);
        let tokens = part.tile_tokens(index);
        first + tokens.start..first + tokens.end
    }

    fn tile(&self, index: usize) -> Result<Tile, PolicyError> {
        let (part, _, within) = self.find(index);
        Ok(Tile { tokens: self.tile_tokens(index), ..part.tile(within)? })
    }
}
