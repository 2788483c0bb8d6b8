//! The caches of one batch of sequences, with the rotary embeddings of the context that they are
//! for.

use std::ops::{Deref, DerefMut};

use kvr_kernels::{ChannelOrder, Context};
use kvr_policy::{KvCachePolicy, LayerCache, LayerGeometry};

use super::rope::Rope;
use crate::ModelError;
use crate::spec::{Geometry, ModelSpec, RopeScaling, RopeSpec};

/// What is known of a text before it is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// Tokens of the prompt where prompts are compressed, else of the text, where that is known:
    /// what a policy holds as a share is a share of it.
    pub planned: Option<usize>,
    /// The most tokens that are going to be run, prompt and answer: some rotary embeddings choose
    /// their frequencies by it, once.
    pub longest: usize,
}

impl Lengths {
    /// A text of `tokens` tokens.
    pub fn of(tokens: usize) -> Self {
        Self { planned: Some(tokens), longest: tokens }
    }
}

/// The caches of a model's layers, made by [`Decoder::caches`](super::Decoder::caches).
pub struct Caches {
    layers: Vec<Box<dyn LayerCache>>,
    pub(super) ropes: Vec<Rope>,
    longest: usize,
}

impl Caches {
    /// Empty caches of a model.
    ///
    /// # Errors
    /// When the policy can't serve this model.
    pub(super) fn new(
        spec: &ModelSpec,
        policy: &dyn KvCachePolicy,
        (batch, Lengths { planned, longest }): (usize, Lengths),
        context: &Context,
    ) -> Result<Self, ModelError> {
        let ropes: Vec<Rope> =
            spec.ropes.iter().map(|rope| Rope::new(rope, spec.channel_order, longest)).collect();
        let none = || kvr_kernels::Rope { frequencies: [].into(), order: spec.channel_order };
        let rope = |layer: usize| {
            spec.layers[layer].attention.rope.map_or_else(none, |rope| ropes[rope].for_policies())
        };
        let layers = layers(&spec.geometry, &rope, policy, batch, &context.planned(planned))?;
        Ok(Self { layers, ropes, longest })
    }

    /// The most tokens that these caches are for.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Forgets every token and gives the memory back.
    pub fn reset(&mut self) {
        self.layers.iter_mut().for_each(|cache| cache.reset());
    }
}

impl Deref for Caches {
    type Target = [Box<dyn LayerCache>];

    fn deref(&self) -> &Self::Target {
        &self.layers
    }
}

impl DerefMut for Caches {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.layers
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
    let spec = RopeSpec { theta: 1e4, channels: geometry.head_dim, scaling: RopeScaling::None };
    let rope = Rope::new(&spec, ChannelOrder::Halves, geometry.max_positions).for_policies();
    layers(geometry, &|_| rope.clone(), policy, batch, context)
}

fn layers(
    geometry: &Geometry,
    rope: &dyn Fn(usize) -> kvr_kernels::Rope,
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
        rope: Some(rope(layer)),
        window: geometry.window(layer),
    };
    (0..geometry.layers).map(|l| Ok(policy.layer(&layer(l), context)?)).collect()
}
