//! Watching a model write keys and values, for methods that are calibrated.

use std::sync::{Arc, Mutex, PoisonError};

use burn::Tensor;
use kvr_policy::{
    Append, CacheView, Footprint, KvCachePolicy, LayerCache, LayerGeometry, LayerRows, PolicyError,
    Promise, Rope,
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
    let rows = Arc::new(Mutex::new(Vec::new()));
    let watching: Arc<dyn KvCachePolicy> = Arc::new(Watching { policy, rows: rows.clone() });
    experiment.feed(&watching, progress)?;
    let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut rows))
}

/// Another policy, watched.
struct Watching {
    policy: Arc<dyn KvCachePolicy>,
    rows: Arc<Mutex<Vec<LayerRows>>>,
}

impl KvCachePolicy for Watching {
    fn name(&self) -> String {
        self.policy.name()
    }

    fn layer(&self, layer: &LayerGeometry) -> Result<Box<dyn LayerCache>, PolicyError> {
        let rope = layer.rope.clone().ok_or_else(|| PolicyError::Unsupported {
            what: "this model's position embedding is not known to policies".to_owned(),
            mend: "calibrate on a model with RoPE in halves".to_owned(),
        })?;
        let inner = self.policy.layer(layer)?;
        Ok(Box::new(Watched { inner, rope, rows: self.rows.clone() }))
    }

    fn promise(&self) -> Promise {
        self.policy.promise()
    }
}

struct Watched {
    inner: Box<dyn LayerCache>,
    rope: Rope,
    rows: Arc<Mutex<Vec<LayerRows>>>,
}

/// `[1, Hkv, S, D]` to the numbers of `[S, Hkv, D]`.
fn by_token(rows: Tensor<4>) -> Result<Vec<f32>, PolicyError> {
    let data = rows.swap_dims(1, 2).into_data().try_into_vec::<f32>();
    data.map_err(|e| PolicyError::Device(format!("{e:?}")))
}

impl LayerCache for Watched {
    fn geometry(&self) -> &LayerGeometry {
        self.inner.geometry()
    }

    fn append(&mut self, new: Append) -> Result<(), PolicyError> {
        let keys = by_token(self.rope.turn(new.keys.clone(), new.position, true))?;
        let values = by_token(new.values.clone())?;
        let LayerGeometry { layer, kv_heads, head_dim, .. } = *self.inner.geometry();
        let mut all = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        while all.len() <= layer {
            all.push(LayerRows { kv_heads, head_dim, ..LayerRows::default() });
        }
        all[layer].keys.extend(keys);
        all[layer].values.extend(values);
        self.inner.append(new)
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
}
