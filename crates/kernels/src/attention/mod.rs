//! Attention over a cache, tile by tile with an online softmax (Milakov and Gimelshein 2018;
//! FlashAttention): scores of one tile exist at a time, and no unpacked copy of the cache does.

pub(crate) mod cpu;
mod reference;
pub(crate) mod wgpu;

use burn::Tensor;

pub use reference::{attend as reference, received};
pub use wgpu::sources;

/// `ln 0` where a query read nothing: finite, so that no difference of two is NaN.
pub const LN_ZERO: f32 = -1e30;

/// Attention of queries over some of the tokens, which can be merged with that over others.
#[derive(Debug, Clone)]
pub struct PartialAttention {
    /// The weighted mean of the values, `[B, Hq, S, D]`, f32; zeros where a query read nothing.
    pub output: Tensor<4>,
    /// `ln Σ e^score` over the tokens read, `[B, Hq, S, 1]`, f32; [`LN_ZERO`] where none was.
    pub log_sum_exp: Tensor<4>,
}

impl PartialAttention {
    /// Attention over the tokens of both answers, as if one softmax had run over all of them (the
    /// merge of FlashDecoding).
    pub fn merge(self, other: Self) -> Self {
        let top = self.log_sum_exp.clone().max_pair(other.log_sum_exp.clone());
        let ours = (self.log_sum_exp - top.clone()).exp();
        let theirs = (other.log_sum_exp - top.clone()).exp();
        let sum = ours.clone() + theirs.clone();
        Self {
            output: self.output * (ours / sum.clone()) + other.output * (theirs / sum.clone()),
            log_sum_exp: top + sum.log(),
        }
    }
}
