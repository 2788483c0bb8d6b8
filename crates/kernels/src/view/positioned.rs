//! A view with positions of its own.

use std::ops::Range;

use super::{CacheView, Tile};
use crate::error::KernelError;

/// A view with other positions in the text than its own: a function gives those of a sequence and
/// a head.
pub struct Positioned<'a, F> {
    /// What is read.
    pub inner: Box<dyn CacheView + 'a>,
    /// The positions of a sequence and a head.
    pub positions: F,
}

impl<F: Fn(usize, usize) -> Vec<usize>> CacheView for Positioned<'_, F> {
    fn tokens(&self) -> usize {
        self.inner.tokens()
    }

    fn tiles(&self) -> usize {
        self.inner.tiles()
    }

    fn tile_tokens(&self, index: usize) -> Range<usize> {
        self.inner.tile_tokens(index)
    }

    fn tile(&self, index: usize) -> Result<Tile, KernelError> {
        self.inner.tile(index)
    }

    fn positions(&self, sequence: usize, head: usize) -> Vec<usize> {
        (self.positions)(sequence, head)
    }
}
