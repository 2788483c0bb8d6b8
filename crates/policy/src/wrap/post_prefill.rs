//! The prompt attends in full precision; what follows reads the policy's cache.
//!
//! This is how most papers measure, and what Hugging Face's quantised cache does: the keys and
//! values of the prompt are quantised, but attention within the prompt never reads them back. The
//! first step after a reset is the prompt. Its keys and values exist in f32 for the length of that
//! step, in one layer at a time. The policy takes the step as well, so that one that watches
//! attention learns from the prompt what it would learn in generation.

use std::sync::Arc;

use burn::Tensor;

use crate::formats::F32;
use crate::packed::{PackedCache, Side};
use crate::{
    Append, Attended, CacheView, Footprint, KvCachePolicy, LayerCache, LayerGeometry, PolicyError,
    Promise, Queries, Step,
};

/// A policy whose prompt attends in full precision.
pub struct PostPrefill(pub Arc<dyn KvCachePolicy>);

impl KvCachePolicy for PostPrefill {
    fn name(&self) -> String {
        self.0.name()
    }

    fn config(&self) -> String {
        self.0.config()
    }

    fn layer(&self, layer: &LayerGeometry) -> Result<Box<dyn LayerCache>, PolicyError> {
        Ok(Box::new(Cache { kept: self.0.layer(layer)? }))
    }

    fn promise(&self) -> Promise {
        // What counts as the prompt depends on the first step.
        Promise { streaming_exact: false, settled: false, ..self.0.promise() }
    }
}

struct Cache {
    kept: Box<dyn LayerCache>,
}

impl LayerCache for Cache {
    fn geometry(&self) -> &LayerGeometry {
        self.kept.geometry()
    }

    fn append(&mut self, new: Append) -> Result<(), PolicyError> {
        self.kept.append(new)
    }

    fn view(&self) -> &dyn CacheView {
        self.kept.view()
    }

    fn footprint(&self) -> Footprint {
        self.kept.footprint()
    }

    fn reset(&mut self) {
        self.kept.reset();
    }

    fn fused(&self) -> bool {
        self.kept.fused()
    }

    fn attend(&self, queries: &Queries) -> Result<Attended, PolicyError> {
        self.kept.attend(queries)
    }

    fn step(&mut self, step: Step) -> Result<Tensor<4>, PolicyError> {
        if step.new.position > 0 {
            return self.kept.step(step);
        }
        self.kept.step(step.clone())?;
        let side = || Side::per_token(Arc::new(F32));
        PackedCache::new(self.geometry(), side(), side())?.step(step)
    }

    fn keep(&mut self, kept: &[usize]) -> Result<(), PolicyError> {
        self.kept.keep(kept)
    }
}
