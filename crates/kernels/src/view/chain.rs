//! Views whose tokens follow each other, joined into one.

use std::ops::Range;

use super::{CacheView, Tile};
use crate::error::KernelError;

/// Views concatenated along the tokens: how a cache made of several stores is read.
pub struct Chain<'a, const N: usize>(pub [Box<dyn CacheView + 'a>; N]);

impl<const N: usize> Chain<'_, N> {
    /// The part that holds tile `index`, its first token, and the index in it.
    fn find(&self, mut index: usize) -> (&dyn CacheView, usize, usize) {
        let mut first = 0;
        for part in &self.0[..N - 1] {
            if index < part.tiles() {
                return (&**part, first, index);
            }
            index -= part.tiles();
            first += part.tokens();
        }
        (&*self.0[N - 1], first, index)
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

    fn tile(&self, index: usize) -> Result<Tile, KernelError> {
        let (part, _, within) = self.find(index);
        Ok(Tile { tokens: self.tile_tokens(index), ..part.tile(within)? })
    }
}
