//! Attention of one layer: projections, norms of heads, rotary embedding, and the policy's cache.

use burn::Tensor;
use kvr_kernels::layers::{Angles, HeadOps, HeadShape, Norm, split_heads};
use kvr_policy::{Append, LayerCache, PolicyError, Step};

use super::linear::Linear;
use crate::spec::AttentionSpec;

/// The weights of attention in one layer. Query, key and value projections are one matrix.
#[derive(Debug)]
pub(crate) struct Attention {
    pub(super) spec: AttentionSpec,
    pub(super) qkv: Linear,
    /// Norms of each head's queries and keys.
    pub(super) head_norms: Option<[Norm; 2]>,
    pub(super) output: Linear,
}

impl Attention {
    /// `[B·S, hidden]` to `[B·S, hidden]`; `angles` are those of all rotary embeddings of the
    /// model.
    pub(super) fn forward(
        &self,
        x: Tensor<2>,
        shape: HeadShape,
        angles: &[Angles],
        (position, ends_prompt): (usize, bool),
        cache: &mut dyn LayerCache,
    ) -> Result<Tensor<2>, PolicyError> {
        let HeadShape { batch, steps, query_heads, head_dim, .. } = shape;
        let AttentionSpec { rope, window, scale, soft_cap, .. } = self.spec;
        let angles = rope.map(|rope| &angles[rope]);
        let norm = |which: usize| self.head_norms.as_ref().map(|norms| &norms[which]);
        let ops = [0, 1].map(|which| HeadOps { norm: norm(which), angles });
        let needs = cache.needs();
        let width = x.dims()[1];
        let hidden = needs.hidden.then(|| x.clone().reshape([batch, steps, width]));
        let output_weight = needs.output_weight.then(|| self.output.weight());
        let [queries, keys, values] = split_heads(self.qkv.forward(x), shape, ops);
        let new = Append { keys, values, position };
        let step = Step { soft_cap, window, ends_prompt, ..Step::new(new, queries, scale) };
        let attended = cache.step(Step { hidden, output_weight, ..step })?;
        // [B, Hq, S, D] to [B·S, Hq·D]
        let attended = attended.swap_dims(1, 2).reshape([batch * steps, query_heads * head_dim]);
        Ok(self.output.forward(attended))
    }
}
