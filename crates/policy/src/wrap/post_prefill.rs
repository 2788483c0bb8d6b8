//! The prompt attends in full precision; what follows reads the policy's cache.
//!
//! This is how most papers measure, and what Hugging Face's quantised cache does: the keys and
//! values of the prompt are quantised, but attention within the prompt never reads them back. The
//! first step after a reset is the prompt. Its keys and values exist in f32 from `append` to
//! `attend`, in one layer at a time.

use std::cell::RefCell;
use std::sync::Arc;

use burn::Tensor;

use crate::formats::F32;
use crate::packed::PackedCache;
use crate::{
    Append, CacheView, Footprint, KvCachePolicy, LayerCache, LayerGeometry, PolicyError, Queries,
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
        let prompt = PackedCache::new(layer, Arc::new(F32), Arc::new(F32))?;
        Ok(Box::new(Cache { kept: self.0.layer(layer)?, prompt: RefCell::new(prompt) }))
    }
}

struct Cache {
    kept: Box<dyn LayerCache>,
    /// The prompt in f32, from its append to its attend; empty at any other time.
    prompt: RefCell<PackedCache>,
}

impl LayerCache for Cache {
    fn append(&mut self, new: Append) -> Result<(), PolicyError> {
        let prompt = (new.position == 0).then(|| Append {
            keys: new.keys.clone(),
            values: new.values.clone(),
            position: 0,
        });
        self.kept.append(new)?;
        let held = self.prompt.get_mut();
        held.reset();
        match prompt {
            Some(prompt) => held.append(prompt),
            None => Ok(()),
        }
    }

    fn view(&self) -> &dyn CacheView {
        self.kept.view()
    }

    fn footprint(&self) -> Footprint {
        let prompt = self.prompt.borrow().footprint();
        let full_precision = prompt.held();
        let allocated = prompt.allocated;
        self.kept.footprint() + Footprint { full_precision, allocated, ..Footprint::default() }
    }

    fn reset(&mut self) {
        self.kept.reset();
        self.prompt.get_mut().reset();
    }

    fn attend(&self, queries: Queries) -> Result<Tensor<4>, PolicyError> {
        let mut prompt = self.prompt.borrow_mut();
        if prompt.view().tokens() == 0 {
            return self.kept.attend(queries);
        }
        let attended = prompt.attend(queries)?;
        prompt.reset();
        Ok(attended)
    }
}
