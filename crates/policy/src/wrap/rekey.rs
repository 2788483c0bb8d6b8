//! Keys changed before they are stored and changed back when they are read, such as to before RoPE.
//!
//! Source: KVQuant (Hooper et al. 2024) quantises keys before RoPE, where channels keep their
//! outliers whatever the position, and applies RoPE as it reads. Attention decodes tile by tile
//! through tensor operations.

use std::ops::Range;
use std::sync::Arc;

use burn::Tensor;
use burn::tensor::TensorData;
use serde::{Deserialize, Serialize};

use crate::method::{Method, Setting};
use crate::spec::PolicySpec;
use crate::{
    Append, CacheView, Footprint, KvCachePolicy, LayerCache, LayerGeometry, PolicyError, Promise,
    Registry, Rope, Tile,
};

/// A change of keys that can be taken back. `first` is the position of the first of the keys
/// `[B, Hkv, S, D]`.
pub trait Rekey: Send {
    /// The keys as they are stored.
    fn store(&self, keys: Tensor<4>, first: usize) -> Tensor<4>;
    /// The inverse of [`store`](Self::store).
    fn restore(&self, keys: Tensor<4>, first: usize) -> Tensor<4>;
}

impl Rope {
    /// Turns keys by their positions, or back: `[B, Hkv, S, D]`, the first at `first`.
    pub fn turn(&self, keys: Tensor<4>, first: usize, back: bool) -> Tensor<4> {
        let [_, _, s, d] = keys.dims();
        let angles = (first..first + s)
            .flat_map(|position| self.frequencies.iter().map(move |f| position as f32 * f));
        let (sin, cos): (Vec<f32>, Vec<f32>) = angles.map(f32::sin_cos).unzip();
        let table = |values: Vec<f32>| {
            Tensor::<4>::from_data(TensorData::new(values, [1, 1, s, d / 2]), &keys.device())
        };
        let (sin, cos) = (table(sin), table(cos));
        let sin = if back { -sin } else { sin };
        let low = keys.clone().narrow(3, 0, d / 2);
        let high = keys.narrow(3, d / 2, d / 2);
        let turned =
            [low.clone() * cos.clone() - high.clone() * sin.clone(), high * cos + low * sin];
        Tensor::cat(turned.into(), 3)
    }
}

impl Rekey for Rope {
    fn store(&self, keys: Tensor<4>, first: usize) -> Tensor<4> {
        self.turn(keys, first, true)
    }

    fn restore(&self, keys: Tensor<4>, first: usize) -> Tensor<4> {
        self.turn(keys, first, false)
    }
}

/// The RoPE of a layer.
///
/// # Errors
/// When the model rotates in another way than in halves.
pub fn rope_of(layer: &LayerGeometry) -> Result<Rope, PolicyError> {
    layer.rope.clone().ok_or_else(|| PolicyError::Unsupported {
        what: "keys before RoPE: this model's position embedding is not known to policies"
            .to_owned(),
        mend: "choose a policy that stores keys after RoPE".to_owned(),
    })
}

/// A cache whose inner cache stores changed keys.
pub struct Rekeyed<R> {
    /// What stores the changed keys.
    pub inner: Box<dyn LayerCache>,
    /// The change.
    pub change: R,
}

impl<R: Rekey> LayerCache for Rekeyed<R> {
    fn geometry(&self) -> &LayerGeometry {
        self.inner.geometry()
    }

    fn append(&mut self, new: Append) -> Result<(), PolicyError> {
        new.check(self.geometry())?;
        let keys = self.change.store(new.keys, new.position);
        self.inner.append(Append { keys, ..new })
    }

    fn view(&self) -> &dyn CacheView {
        self
    }

    fn footprint(&self) -> Footprint {
        self.inner.footprint()
    }

    fn reset(&mut self) {
        self.inner.reset();
    }
}

impl<R: Rekey> CacheView for Rekeyed<R> {
    fn tokens(&self) -> usize {
        self.inner.view().tokens()
    }

    fn tiles(&self) -> usize {
        self.inner.view().tiles()
    }

    fn tile_tokens(&self, index: usize) -> Range<usize> {
        self.inner.view().tile_tokens(index)
    }

    fn tile(&self, index: usize) -> Result<Tile, PolicyError> {
        let tile = self.inner.view().tile(index)?;
        Ok(Tile { keys: self.change.restore(tile.keys, tile.tokens.start), ..tile })
    }
}

/// The settings of `pre-rope`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PreRope {
    /// What stores keys before RoPE; it must be settled, so have no window and not evict.
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
        if !policy.promise().settled {
            return Err(PolicyError::Settings {
                policy: Self::NAME.to_owned(),
                problem: "the policy inside has a window or evicts: put the window around pre-rope instead"
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

    fn layer(&self, layer: &LayerGeometry) -> Result<Box<dyn LayerCache>, PolicyError> {
        Ok(Box::new(Rekeyed { inner: self.0.layer(layer)?, change: rope_of(layer)? }))
    }

    fn promise(&self) -> Promise {
        self.0.promise()
    }
}
