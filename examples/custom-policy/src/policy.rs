//! A full policy: values are limited before another policy stores them.

use std::sync::Arc;

use kvr_policy::{
    Append, Attended, CacheView, Footprint, KvCachePolicy, LayerCache, LayerGeometry, Method,
    PolicyError, PolicySpec, Promise, Queries, Registry, Setting,
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
        if !inner.promise().settled {
            return Err(PolicyError::Unsupported {
                what: "clipped does not pass whole steps on, which windows and evictions need"
                    .to_owned(),
                mend: "put the window around it".to_owned(),
            });
        }
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

    fn layer(&self, layer: &LayerGeometry) -> Result<Box<dyn LayerCache>, PolicyError> {
        Ok(Box::new(Cache { limit: self.limit, inner: self.inner.layer(layer)? }))
    }

    fn promise(&self) -> Promise {
        self.inner.promise()
    }
}

struct Cache {
    limit: f32,
    inner: Box<dyn LayerCache>,
}

// Attention over what is stored is the inner cache's; the default would unpack it tile by tile.
impl LayerCache for Cache {
    fn geometry(&self) -> &LayerGeometry {
        self.inner.geometry()
    }

    fn append(&mut self, new: Append) -> Result<(), PolicyError> {
        let values = new.values.clamp(-self.limit, self.limit);
        self.inner.append(Append { values, ..new })
    }

    fn view(&self) -> &dyn CacheView {
        self.inner.view()
    }

    fn footprint(&self) -> Footprint {
        self.inner.footprint()
    }

    fn reset(&mut self) {
        self.inner.reset();
    }

    fn attend(&self, queries: &Queries) -> Result<Attended, PolicyError> {
        self.inner.attend(queries)
    }

    fn fused(&self) -> bool {
        self.inner.fused()
    }
}
