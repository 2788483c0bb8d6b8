//! One layer: attention through the policy's cache, then the feed-forward network.

use burn::Tensor;
use kvr_policy::{Append, LayerCache, PolicyError, Step};

use super::linear::Linear;
use kvr_kernels::layers::{Angles, HeadShape, rms_norm, split_heads, swiglu};

/// The weights of one layer. Query, key and value projections are one matrix, gate and up another.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) attention_norm: Tensor<1>,
    pub(crate) qkv: Linear,
    pub(crate) output: Linear,
    pub(crate) mlp_norm: Tensor<1>,
    pub(crate) gate_up: Linear,
    pub(crate) down: Linear,
    pub(crate) norm_eps: f32,
}

impl Block {
    /// One step over the residual stream `[B·S, hidden]`.
    pub(crate) fn forward(
        &self,
        x: Tensor<2>,
        shape: HeadShape,
        angles: &Angles,
        (position, ends_prompt): (usize, bool),
        cache: &mut dyn LayerCache,
    ) -> Result<Tensor<2>, PolicyError> {
        let HeadShape { batch, steps, query_heads, head_dim, .. } = shape;
        let normed = rms_norm(x.clone(), &self.attention_norm, self.norm_eps);
        let needs = cache.needs();
        let hidden = needs.hidden.then(|| {
            let width = normed.dims()[1];
            normed.clone().reshape([batch, steps, width])
        });
        let output_weight = needs.output_weight.then(|| self.output.weight());
        let [queries, keys, values] = split_heads(self.qkv.forward(normed), shape, angles);
        let scale = 1.0 / (head_dim as f32).sqrt();
        let new = Append { keys, values, position };
        let attended =
            cache.step(Step { new, queries, scale, ends_prompt, hidden, output_weight })?;
        // [B, Hq, S, D] to [B·S, Hq·D]
        let attended = attended.swap_dims(1, 2).reshape([batch * steps, query_heads * head_dim]);
        let x = x + self.output.forward(attended);
        let normed = rms_norm(x.clone(), &self.mlp_norm, self.norm_eps);
        Ok(x + self.down.forward(swiglu(self.gate_up.forward(normed))))
    }
}
