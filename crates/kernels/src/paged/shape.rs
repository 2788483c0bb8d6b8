//! The shape of one page of a packed cache, shared by every kernel.

use burn::Tensor;
use burn::backend::{Flex, Wgpu};
use burn::tensor::Int;

use crate::device::is_cpu;
use crate::formats::BlockLayout;

/// Sizes of one page: `capacity` tokens of `heads` rows for each sequence of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PageShape {
    /// `B`.
    pub batch: usize,
    /// `Hkv`.
    pub heads: usize,
    /// Tokens that the page has room for; even, so that scales fill whole words.
    pub capacity: usize,
    /// `D`.
    pub head_dim: usize,
    /// Code words in one row of head_dim values.
    pub words: usize,
    /// 16-bit words of scales in one row of head_dim values.
    pub scales: usize,
}

impl PageShape {
    /// The page of `capacity` tokens for rows of `head_dim` values in blocks of `layout`.
    pub fn new(
        layout: BlockLayout,
        batch: usize,
        heads: usize,
        capacity: usize,
        head_dim: usize,
    ) -> Self {
        let blocks = head_dim / layout.values;
        Self {
            batch,
            heads,
            capacity,
            head_dim,
            words: blocks * layout.code_words,
            scales: blocks * layout.scales,
        }
    }

    /// Shape of the plane of codes.
    pub fn codes(&self) -> [usize; 4] {
        [self.batch, self.heads, self.capacity, self.words]
    }

    /// Shape of the plane of scales.
    pub fn scale_plane(&self) -> [usize; 3] {
        [self.batch, self.heads, self.scale_words().max(1)]
    }

    /// Rows that one invocation writes: with an odd number of 16-bit scales a row, two rows
    /// share a word, and one invocation writes both.
    pub(crate) fn rows_per_unit(&self) -> usize {
        1 + self.scales % 2
    }

    /// Units that `rows` rows from row `at` on touch.
    pub(crate) fn units(&self, at: usize, rows: usize) -> usize {
        (at + rows).div_ceil(self.rows_per_unit()) - at / self.rows_per_unit()
    }

    /// Words of scales for one sequence and head.
    pub fn scale_words(&self) -> usize {
        self.capacity * self.scales / 2
    }
}

/// Bytes of the buffer that is alive behind a tensor.
pub(crate) fn buffer_bytes<const D: usize>(tensor: &Tensor<D, Int>) -> u64 {
    if is_cpu(&tensor.device()) {
        let plane = tensor.clone().try_into_primitive::<Flex>();
        plane.expect("the device was just asked").bytes().len() as u64
    } else {
        let plane = tensor.clone().try_into_primitive::<Wgpu>();
        plane.expect("the device was just asked").handle.size()
    }
}
