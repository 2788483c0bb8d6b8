//! One layer: attention through the policy's cache, then the feed-forward network, each between a
//! norm before it and, in some families, a norm behind it.

use burn::Tensor;
use kvr_kernels::layers::{Activation, Angles, HeadShape, Norm, gated};
use kvr_policy::{LayerCache, PolicyError};

use super::attention::Attention;
use super::linear::Linear;

/// The weights of one layer.
#[derive(Debug)]
pub(crate) struct Block {
    pub(super) attention_norm: Norm,
    pub(super) attention: Attention,
    pub(super) post_attention_norm: Option<Norm>,
    pub(super) mlp_norm: Norm,
    pub(super) mlp: Mlp,
    pub(super) post_mlp_norm: Option<Norm>,
}

/// The weights of a feed-forward network. Gate and up are one matrix.
#[derive(Debug)]
pub(crate) struct Mlp {
    pub(super) gate_up: Linear,
    pub(super) activation: Activation,
    pub(super) down: Linear,
}

impl Mlp {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.down.forward(gated(self.gate_up.forward(x), self.activation))
    }
}

impl Block {
    /// One step over the residual stream `[B·S, hidden]`; `at` is the position of its first token,
    /// and whether it ends the prompt.
    pub(super) fn forward(
        &self,
        x: Tensor<2>,
        shape: HeadShape,
        angles: &[Angles],
        at: (usize, bool),
        cache: &mut dyn LayerCache,
    ) -> Result<Tensor<2>, PolicyError> {
        let behind = |norm: &Option<Norm>, x| match norm {
            Some(norm) => norm.forward(x),
            None => x,
        };
        let normed = self.attention_norm.forward(x.clone());
        let attended = self.attention.forward(normed, shape, angles, at, cache)?;
        let x = x + behind(&self.post_attention_norm, attended);
        let normed = self.mlp_norm.forward(x.clone());
        Ok(x + behind(&self.post_mlp_norm, self.mlp.forward(normed)))
    }
}
