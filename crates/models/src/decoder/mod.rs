//! The one decoder that every family runs on.

mod attention;
mod block;
pub(crate) mod build;
mod caches;
mod embedding;
mod linear;
mod rope;

use burn::Tensor;
use burn::tensor::Device;
use kvr_kernels::Context;
use kvr_kernels::layers::{Angles, HeadShape, Norm, soft_cap};
use kvr_policy::KvCachePolicy;

use self::block::Block;
use self::embedding::Embedding;
use self::linear::Linear;
use crate::ModelError;
use crate::spec::{Geometry, ModelSpec};

pub use self::caches::{Caches, Lengths, caches};

/// A decoder-only transformer with its weights.
#[derive(Debug)]
pub struct Decoder {
    spec: ModelSpec,
    context: Context,
    embedding: Embedding,
    blocks: Vec<Block>,
    final_norm: Norm,
    head: Linear,
}

impl Decoder {
    /// What the model is.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// Where the weights and the caches live.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The device of [`Self::context`].
    pub fn device(&self) -> &Device {
        &self.context.device
    }

    /// Empty caches for `batch` sequences.
    ///
    /// # Errors
    /// When the policy can't serve this model.
    pub fn caches(
        &self,
        policy: &dyn KvCachePolicy,
        batch: usize,
        lengths: Lengths,
    ) -> Result<Caches, ModelError> {
        self.caches_in(policy, batch, lengths, &self.context)
    }

    /// As [`caches`](Self::caches) in a context of their own, which is one of the decoder's device.
    ///
    /// # Errors
    /// When the policy can't serve this model.
    pub fn caches_in(
        &self,
        policy: &dyn KvCachePolicy,
        batch: usize,
        lengths: Lengths,
        context: &Context,
    ) -> Result<Caches, ModelError> {
        Caches::new(&self.spec, policy, (batch, lengths), context)
    }

    /// One step: `tokens` `[B, S]`, row-major, at positions from `position` on; with `ends_prompt`
    /// they are the last of the prompt.
    ///
    /// Returns the final hidden states after the last norm, `[B·S, hidden]`; [`Self::logits`]
    /// makes logits of those rows that are wanted.
    ///
    /// # Errors
    /// When a token is outside the vocabulary, the step goes beyond the context of the caches, or a cache
    /// refuses. The caches are then to be reset.
    pub fn forward(
        &self,
        tokens: &[u32],
        batch: usize,
        position: usize,
        ends_prompt: bool,
        caches: &mut Caches,
    ) -> Result<Tensor<2>, ModelError> {
        if batch == 0 || tokens.is_empty() || !tokens.len().is_multiple_of(batch) {
            return Err(ModelError::Input(format!(
                "a step needs the same number of tokens, at least one, for each of {batch} sequences; \
                 got {} in all",
                tokens.len()
            )));
        }
        let steps = tokens.len() / batch;
        if position.saturating_add(steps) > caches.longest() {
            return Err(ModelError::Input(format!(
                "a step of {steps} tokens at position {position} goes beyond the {} tokens that these \
                 caches are for: plan a longer text",
                caches.longest()
            )));
        }
        let Geometry { query_heads, kv_heads, head_dim, .. } = self.spec.geometry;
        let shape = HeadShape { batch, steps, query_heads, kv_heads, head_dim };
        let angles: Vec<Angles> =
            caches.ropes.iter().map(|rope| rope.angles(position, steps)).collect();
        let mut x = self.embedding.forward(tokens, self.device())?;
        for (block, cache) in self.blocks.iter().zip(caches.iter_mut()) {
            x = block.forward(x, shape, &angles, (position, ends_prompt), &mut **cache)?;
        }
        Ok(self.final_norm.forward(x))
    }

    /// Logits `[N, vocabulary]` of hidden states `[N, hidden]`.
    pub fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        let logits = self.head.forward(hidden);
        match self.spec.logit_cap {
            Some(cap) => soft_cap(logits, cap),
            None => logits,
        }
    }
}
