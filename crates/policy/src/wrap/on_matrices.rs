//! Attention on a GPU's matrix units.
//!
//! The cache and what it costs stay as they are; attention of a long prompt is two to three times as fast, and rounds
//! what it multiplies to f16, as FlashAttention (Dao et al. 2022) and most serving programs do.

use std::sync::Arc;

use crate::kernels::MatrixUnits;
use crate::{KvCachePolicy, LayerCache, LayerGeometry, PolicyError, Promise};

/// A policy whose caches may use matrix units.
///
/// Sides of f32, and those that a GPU can't read as they are packed, are read in f32 all the same; so are
/// steps in which at most eight query rows share a key, as in generation.
pub struct OnMatrices {
    /// The policy.
    pub policy: Arc<dyn KvCachePolicy>,
    /// The units of the device that it runs on.
    pub units: MatrixUnits,
}

impl KvCachePolicy for OnMatrices {
    fn name(&self) -> String {
        self.policy.name()
    }

    fn config(&self) -> String {
        format!("{}; attention on matrix units, in f16", self.policy.config())
    }

    fn layer(&self, layer: &LayerGeometry) -> Result<Box<dyn LayerCache>, PolicyError> {
        if !self.units.divide(layer.head_dim) {
            return Err(PolicyError::Unsupported {
                what: format!("matrix units do not divide head_dim {}", layer.head_dim),
                mend: "attend in f32, without them".to_owned(),
            });
        }
        self.policy.layer(&LayerGeometry { matrices: Some(self.units), ..layer.clone() })
    }

    fn promise(&self) -> Promise {
        // Which program runs, and so what is rounded, depends on the size of a step.
        Promise { streaming_exact: false, ..self.policy.promise() }
    }
}
