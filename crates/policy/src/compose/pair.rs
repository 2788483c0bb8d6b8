//! A policy made of two storage formats, the same in every layer.

use std::sync::Arc;

use kvr_kernels::{Context, Format, LayerGeometry, PackedCache, Side};

use crate::{KvCachePolicy, LayerCache, PolicyError};

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
        format!("{}:{}", self.keys.name(), self.values.name())
    }

    fn layer(
        &self,
        layer: &LayerGeometry,
        context: &Context,
    ) -> Result<Box<dyn LayerCache>, PolicyError> {
        let (keys, values) = (self.keys.clone(), self.values.clone());
        Ok(Box::new(PackedCache::new(
            layer,
            context,
            Side::per_token(keys),
            Side::per_token(values),
        )?))
    }
}
