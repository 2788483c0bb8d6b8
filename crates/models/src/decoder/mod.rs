//! The one decoder that every family runs on.

pub(crate) mod block;
pub(crate) mod build;
pub(crate) mod linear;
pub(crate) mod rope;

use burn::Tensor;
use burn::tensor::{DType, Device, Int, TensorData};
use kvr_kernels::Context;
use kvr_kernels::layers::{HeadShape, rms_norm};
use kvr_policy::{KvCachePolicy, LayerCache, LayerGeometry};

use self::block::Block;
use self::linear::Linear;
use self::rope::Rope;
use crate::ModelError;
use crate::spec::{Geometry, ModelSpec};

pub use self::rope::RopeScaling;

/// A decoder-only transformer with its weights.
#[derive(Debug)]
pub struct Decoder {
    spec: ModelSpec,
    context: Context,
    /// `[vocabulary, hidden]`. Stays on the CPU: rows are looked up, and a GPU may not bind it.
    embedding: Tensor<2>,
    blocks: Vec<Block>,
    final_norm: Tensor<1>,
    head: Linear,
    rope: Rope,
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

    /// Empty caches for `batch` sequences, one a layer, of texts of `planned` tokens where that is
    /// known: what a policy holds as a share is a share of it.
    ///
    /// # Errors
    /// When the policy can't serve this model.
    pub fn caches(
        &self,
        policy: &dyn KvCachePolicy,
        batch: usize,
        planned: Option<usize>,
    ) -> Result<Vec<Box<dyn LayerCache>>, ModelError> {
        let context = self.context.planned(planned);
        layers(&self.spec.geometry, &self.rope, policy, batch, &context)
    }

    /// One step: `tokens` `[B, S]`, row-major, at positions from `position` on; with `ends_prompt`
    /// they are the last of the prompt.
    ///
    /// Returns the final hidden states after the last norm, `[B·S, hidden]`; [`Self::logits`]
    /// makes logits of those rows that are wanted.
    ///
    /// # Errors
    /// When a token is outside the vocabulary, or a cache refuses. The caches are then to be reset.
    pub fn forward(
        &self,
        tokens: &[u32],
        batch: usize,
        position: usize,
        ends_prompt: bool,
        caches: &mut [Box<dyn LayerCache>],
    ) -> Result<Tensor<2>, ModelError> {
        if batch == 0 || tokens.is_empty() || !tokens.len().is_multiple_of(batch) {
            return Err(ModelError::Input(format!(
                "a step needs the same number of tokens, at least one, for each of {batch} sequences; got {} in all",
                tokens.len()
            )));
        }
        let steps = tokens.len() / batch;
        let Geometry { query_heads, kv_heads, head_dim, .. } = self.spec.geometry;
        let shape = HeadShape { batch, steps, query_heads, kv_heads, head_dim };
        let angles = self.rope.angles(position, steps);
        let mut x = self.embed(tokens)?;
        for (block, cache) in self.blocks.iter().zip(caches) {
            x = block.forward(x, shape, &angles, (position, ends_prompt), &mut **cache)?;
        }
        Ok(rms_norm(x, &self.final_norm, self.spec.norm_eps))
    }

    /// Logits `[N, vocabulary]` of hidden states `[N, hidden]`.
    pub fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        self.head.forward(hidden)
    }

    fn embed(&self, tokens: &[u32]) -> Result<Tensor<2>, ModelError> {
        if let Some(bad) = tokens.iter().find(|t| **t as usize >= self.spec.vocab_size) {
            return Err(ModelError::Input(format!(
                "token {bad} is outside the vocabulary of {}: the text was tokenised for another model",
                self.spec.vocab_size
            )));
        }
        let ids: Vec<i32> = tokens.iter().map(|t| *t as i32).collect();
        let count = ids.len();
        let cpu = self.embedding.device();
        let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [count]), (&cpu, DType::I32));
        let rows = self.embedding.clone().select(0, ids).cast(DType::F32);
        Ok(if cpu == self.context.device { rows } else { rows.to_device(&self.context.device) })
    }
}

/// Empty caches of a geometry, one a layer; no weights are needed. Where a policy wants to know the
/// position embedding it is told one of base 10,000: bytes do not depend on it.
///
/// # Errors
/// When the policy can't serve this geometry.
pub fn caches(
    geometry: &Geometry,
    policy: &dyn KvCachePolicy,
    batch: usize,
    context: &Context,
) -> Result<Vec<Box<dyn LayerCache>>, ModelError> {
    let rope = Rope::new(geometry.head_dim, 1e4, RopeScaling::None);
    layers(geometry, &rope, policy, batch, context)
}

fn layers(
    geometry: &Geometry,
    rope: &Rope,
    policy: &dyn KvCachePolicy,
    batch: usize,
    context: &Context,
) -> Result<Vec<Box<dyn LayerCache>>, ModelError> {
    let layer = |layer| LayerGeometry {
        layer,
        layers: geometry.layers,
        batch,
        query_heads: geometry.query_heads,
        kv_heads: geometry.kv_heads,
        head_dim: geometry.head_dim,
        rope: Some(rope.for_policies()),
    };
    (0..geometry.layers).map(|l| Ok(policy.layer(&layer(l), context)?)).collect()
}
