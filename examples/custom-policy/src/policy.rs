//! A full policy: values are limited before another policy stores them.

use std::sync::Arc;

use kvr_policy::wrap::{Wrap, Wrapped};
use kvr_policy::{
    Append, Context, KvCachePolicy, LayerCache, LayerGeometry, Method, PolicyError, PolicySpec,
    Registry, Setting,
};
use serde::{Deserialize, Serialize};

/// The settings of the policy `clipped`: `clipped(limit=2.5;policy=k4v4)`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Clipped {
    /// Values are kept between minus and plus this.
    pub limit: f32,
    /// What stores them.
    pub policy: PolicySpec,
}

impl Default for Clipped {
    fn default() -> Self {
        Self { limit: 4.0, policy: PolicySpec::default() }
    }
}

impl Method for Clipped {
    const NAME: &'static str = "clipped";
    const SUMMARY: &'static str = "values limited in magnitude before they are stored";
    const SOURCE: &'static str = "an example";

    fn settings() -> Vec<Setting> {
        vec![
            Setting { name: "limit", unit: "magnitude", about: "larger values are cut to it" },
            Setting { name: "policy", unit: "policy", about: "what stores the values" },
        ]
    }

    fn policy(self, registry: &Registry) -> Result<Arc<dyn KvCachePolicy>, PolicyError> {
        let inner = registry.build(&self.policy)?;
        Ok(Arc::new(Policy { limit: self.limit, inner }))
    }
}

struct Policy {
    limit: f32,
    inner: Arc<dyn KvCachePolicy>,
}

impl KvCachePolicy for Policy {
    fn name(&self) -> String {
        Clipped::NAME.to_owned()
    }

    fn layer(
        &self,
        layer: &LayerGeometry,
        context: &Context,
    ) -> Result<Box<dyn LayerCache>, PolicyError> {
        let inner = self.inner.layer(layer, context)?;
        Ok(Box::new(Wrapped(Cache { limit: self.limit, inner })))
    }

    fn inner(&self) -> Option<&dyn KvCachePolicy> {
        Some(&*self.inner)
    }
}

struct Cache {
    limit: f32,
    inner: Box<dyn LayerCache>,
}

// Only what goes in is changed; steps, attention and evictions are forwarded.
impl Wrap for Cache {
    fn inner(&self) -> &dyn LayerCache {
        &*self.inner
    }

    fn inner_mut(&mut self) -> &mut dyn LayerCache {
        &mut *self.inner
    }

    fn store(&self, new: Append) -> Append {
        Append { values: new.values.clamp(-self.limit, self.limit), ..new }
    }
}
