//! One storage format for keys and one for values, the same in every layer.
//!
//! Source: the cache types of llama.cpp (`--cache-type-k`, `--cache-type-v`), and KVSplit, which
//! gave keys more bits than values (`k8v4`) on top of them. Deviation: any two formats go together
//! on every device, and head_dim has only to be a multiple of the formats' blocks.

use std::sync::Arc;

use crate::packed::PackedCache;
use crate::{Format, KvCachePolicy, LayerCache, LayerGeometry, PolicyError};

/// A policy made of two formats.
#[derive(Debug, Clone)]
pub struct Pair {
    name: String,
    keys: Arc<dyn Format>,
    values: Arc<dyn Format>,
}

impl Pair {
    /// A policy called `name` that stores keys and values in the formats given.
    pub fn new(name: impl Into<String>, keys: Arc<dyn Format>, values: Arc<dyn Format>) -> Self {
        Self { name: name.into(), keys, values }
    }
}

impl KvCachePolicy for Pair {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn config(&self) -> String {
        format!("keys {}, values {}", self.keys.name(), self.values.name())
    }

    fn layer(&self, layer: &LayerGeometry) -> Result<Box<dyn LayerCache>, PolicyError> {
        Ok(Box::new(PackedCache::new(layer, self.keys.clone(), self.values.clone())?))
    }
}
