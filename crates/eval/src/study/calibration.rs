//! Watching a model write keys and values, for methods that are calibrated.

use std::sync::{Arc, Mutex, PoisonError};

use burn::Tensor;
use kvr_policy::evict::host;
use kvr_policy::wrap::{Wrap, Wrapped, rope_of};
use kvr_policy::{
    Append, Context, KvCachePolicy, LayerCache, LayerGeometry, LayerRows, PolicyError, Rope,
};

use crate::EvalError;
use crate::study::experiment::Experiment;

/// Keys before RoPE and values of every layer over the windows of an experiment, read through
/// `policy`, which should lose nothing.
///
/// # Errors
/// When the model's position embedding is not known to policies, or the device fails.
pub fn rows(
    experiment: &Experiment<'_>,
    policy: Arc<dyn KvCachePolicy>,
    progress: &mut dyn FnMut(),
) -> Result<Vec<LayerRows>, EvalError> {
    let rows: Watch = Arc::new(Mutex::new(Ok(Vec::new())));
    let watching: Arc<dyn KvCachePolicy> = Arc::new(Watching { policy, rows: rows.clone() });
    experiment.feed(&watching, progress)?;
    let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::replace(&mut *rows, Ok(Vec::new()))?)
}

/// What was seen so far, or why no more can be.
type Watch = Arc<Mutex<Result<Vec<LayerRows>, PolicyError>>>;

/// Another policy, watched.
struct Watching {
    policy: Arc<dyn KvCachePolicy>,
    rows: Watch,
}

impl KvCachePolicy for Watching {
    fn name(&self) -> String {
        self.policy.name()
    }

    fn layer(
        &self,
        layer: &LayerGeometry,
        context: &Context,
    ) -> Result<Box<dyn LayerCache>, PolicyError> {
        let inner = self.policy.layer(layer, context)?;
        let rope = rope_of(layer)?;
        Ok(Box::new(Wrapped(Watched { inner, rope, rows: self.rows.clone() })))
    }

    fn inner(&self) -> Option<&dyn KvCachePolicy> {
        Some(&*self.policy)
    }
}

struct Watched {
    inner: Box<dyn LayerCache>,
    rope: Rope,
    rows: Watch,
}

/// `[1, Hkv, S, D]` to the numbers of `[S, Hkv, D]`.
fn by_token(rows: Tensor<4>) -> Result<Vec<f32>, PolicyError> {
    host(rows.swap_dims(1, 2))
}

impl Watched {
    fn take(&self, new: &Append) -> Result<(), PolicyError> {
        let keys = by_token(self.rope.inverse(new.keys.clone(), new.position))?;
        let values = by_token(new.values.clone())?;
        let LayerGeometry { layer, kv_heads, head_dim, .. } = *self.inner.geometry();
        let mut all = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(all) = &mut *all else { return Ok(()) };
        while all.len() <= layer {
            all.push(LayerRows { kv_heads, head_dim, ..LayerRows::default() });
        }
        all[layer].keys.extend(keys);
        all[layer].values.extend(values);
        Ok(())
    }
}

impl Wrap for Watched {
    fn inner(&self) -> &dyn LayerCache {
        &*self.inner
    }

    fn inner_mut(&mut self) -> &mut dyn LayerCache {
        &mut *self.inner
    }

    fn store(&self, new: Append) -> Append {
        if let Err(error) = self.take(&new) {
            *self.rows.lock().unwrap_or_else(PoisonError::into_inner) = Err(error);
        }
        new
    }
}
