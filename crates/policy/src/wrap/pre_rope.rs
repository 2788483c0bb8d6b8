//! Keys stored before RoPE, which is applied as they are read.
//!
//! Source: KVQuant (Hooper et al. 2024) quantises keys before RoPE, where channels keep their
//! outliers whatever the position, and applies RoPE as it reads. Attention decodes tile by tile
//! through tensor operations.

use std::sync::Arc;

use kvr_kernels::{Append, Context, LayerGeometry, Rope, Tile};
use serde::{Deserialize, Serialize};

use super::wrapped::{Wrap, Wrapped};
use crate::spec::PolicySpec;
use crate::{KvCachePolicy, LayerCache, PolicyError, Registry};
use crate::{Method, Setting};

/// The RoPE of a layer.
///
/// # Errors
/// When the model has another position embedding, which policies do not know.
pub fn rope_of(layer: &LayerGeometry) -> Result<Rope, PolicyError> {
    layer.rope.clone().ok_or_else(|| PolicyError::Unsupported {
        what: "keys before RoPE: this model's position embedding is not known to policies"
            .to_owned(),
        fix: "choose a policy that stores keys after RoPE".to_owned(),
    })
}

struct Cache {
    inner: Box<dyn LayerCache>,
    rope: Rope,
}

impl Wrap for Cache {
    const BY_POSITION: bool = true;

    fn inner(&self) -> &dyn LayerCache {
        &*self.inner
    }

    fn inner_mut(&mut self) -> &mut dyn LayerCache {
        &mut *self.inner
    }

    fn store(&self, new: Append) -> Append {
        Append { keys: self.rope.inverse(new.keys, new.position), ..new }
    }

    fn restore(&self, tile: Tile) -> Tile {
        Tile { keys: self.rope.rotate(tile.keys, tile.tokens.start), ..tile }
    }
}

/// The settings of `pre-rope`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PreRope {
    /// What stores keys before RoPE; it must be append-only: no window, no eviction.
    pub policy: PolicySpec,
}

impl Method for PreRope {
    const NAME: &'static str = "pre-rope";
    const SUMMARY: &'static str = "keys stored before RoPE, which is applied as they are read";
    const SOURCE: &'static str = "KVQuant: Hooper et al. 2024, arXiv 2401.18079";

    fn settings() -> Vec<Setting> {
        vec![Setting { name: "policy", unit: "policy", about: "what stores the keys and values" }]
    }

    fn policy(self, registry: &Registry) -> Result<Arc<dyn KvCachePolicy>, PolicyError> {
        let policy = registry.build(&self.policy)?;
        if !policy.promise().append_only {
            return Err(PolicyError::Settings {
                policy: Self::NAME.to_owned(),
                problem: "the policy inside has a window or evicts: put the window around \
                          pre-rope instead"
                    .to_owned(),
            });
        }
        Ok(Arc::new(Stored(policy)))
    }
}

struct Stored(Arc<dyn KvCachePolicy>);

impl KvCachePolicy for Stored {
    fn name(&self) -> String {
        PreRope::NAME.to_owned()
    }

    fn layer(
        &self,
        layer: &LayerGeometry,
        context: &Context,
    ) -> Result<Box<dyn LayerCache>, PolicyError> {
        Ok(Box::new(Wrapped(Cache { inner: self.0.layer(layer, context)?, rope: rope_of(layer)? })))
    }

    fn inner(&self) -> Option<&dyn KvCachePolicy> {
        Some(&*self.0)
    }
}
