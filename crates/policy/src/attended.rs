//! The answer of attention, in a form that answers over other tokens can be merged with.

use burn::Tensor;

/// `ln 0` where a query read nothing: finite, so that no difference of two is NaN.
pub const NOTHING: f32 = -1e30;

/// Attention of queries over some tokens.
#[derive(Debug, Clone)]
pub struct Attended {
    /// The weighted mean of the values, `[B, Hq, S, D]`, f32; zeros where a query read nothing.
    pub output: Tensor<4>,
    /// `ln Σ e^score` over the tokens read, `[B, Hq, S, 1]`, f32; [`NOTHING`] where none was.
    pub log_sum: Tensor<4>,
}

impl Attended {
    /// Attention over the tokens of both answers, as if one softmax had run over all of them (the
    /// merge of FlashDecoding).
    pub fn merge(self, other: Self) -> Self {
        let top = self.log_sum.clone().max_pair(other.log_sum.clone());
        let ours = (self.log_sum - top.clone()).exp();
        let theirs = (other.log_sum - top.clone()).exp();
        let sum = ours.clone() + theirs.clone();
        Self {
            output: self.output * (ours / sum.clone()) + other.output * (theirs / sum.clone()),
            log_sum: top + sum.log(),
        }
    }
}
