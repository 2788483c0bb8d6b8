//! KVQuant (Hooper et al. 2024, arXiv 2401.18079): calibrated codebooks, keys before RoPE.
//!
//! `kvr calibrate` runs a text through a model and writes, for each layer, the mean and the
//! standard deviation of every key channel before RoPE, and two codebooks of least squared error:
//! one for keys normalised with these, one for values over the absmax of their row. A key then
//! needs no scale of its own, a row of values needs one. `outliers` values of each row are kept in
//! f16.
//!
//! Deviations: centroids minimise the plain squared error, KVQuant weighs it by Fisher information;
//! every row keeps the same number of outliers, where KVQuant thresholds per channel; its first
//! token in full precision is `window(sinks=1;recent=0;policy=…)` here.

mod fit;

use std::sync::Arc;

use burn::Tensor;
use burn::tensor::TensorData;
use serde::{Deserialize, Serialize};

use crate::wrap::{Wrap, Wrapped, rope_of};
use crate::{Format, KvCachePolicy, LayerCache, LayerGeometry, LayerRows, PolicyError, Registry};
use crate::{Method, Setting};
use kvr_kernels::formats::{Codebook, Outliers, Scale};
use kvr_kernels::{Append, Context, PackedCache, Rope, Side, Tile};

/// The settings of KVQuant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct KvQuant {
    /// Bits of a key, 2, 3 or 4, for which a codebook is calibrated.
    pub key_bits: u32,
    /// Bits of a value, likewise.
    pub value_bits: u32,
    /// Values of each row that are kept apart in f16.
    pub outliers: usize,
    /// What was calibrated, for each layer of the model.
    pub layers: Vec<LayerCodebooks>,
}

impl Default for KvQuant {
    fn default() -> Self {
        Self { key_bits: 3, value_bits: 3, outliers: 0, layers: Vec::new() }
    }
}

/// What was calibrated for one layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerCodebooks {
    /// Mean of each key channel, which is subtracted, `[Hkv · D]`.
    pub key_offset: Vec<f32>,
    /// Standard deviation of each key channel, by which it is divided, `[Hkv · D]`, above 0.
    pub key_scale: Vec<f32>,
    /// Centroids of normalised keys, 4, 8 or 16, ascending.
    #[serde(rename = "key_levels")]
    pub key_centroids: Vec<f32>,
    /// Centroids of values over the absmax of their row, 4, 8 or 16, ascending.
    #[serde(rename = "value_levels")]
    pub value_centroids: Vec<f32>,
}

impl Method for KvQuant {
    const NAME: &'static str = "kvquant";
    const SUMMARY: &'static str = "calibrated codebooks, keys before RoPE; made by `kvr calibrate`";
    const SOURCE: &'static str = "KVQuant: Hooper et al. 2024, arXiv 2401.18079";

    fn settings() -> Vec<Setting> {
        vec![
            Setting { name: "key_bits", unit: "bits", about: "2, 3 or 4 for a key" },
            Setting { name: "value_bits", unit: "bits", about: "2, 3 or 4 for a value" },
            Setting { name: "outliers", unit: "values of a row", about: "kept apart in f16" },
            Setting {
                name: "layers",
                unit: "calibration",
                about: "scales and codebooks of each layer",
            },
        ]
    }

    fn policy(self, _: &Registry) -> Result<Arc<dyn KvCachePolicy>, PolicyError> {
        if self.layers.is_empty() {
            return Err(PolicyError::Settings {
                policy: Self::NAME.to_owned(),
                problem:
                    "it is not calibrated: `kvr calibrate 'kvquant(key_bits=3)' --out FILE.toml` \
                          writes its settings for a model"
                        .to_owned(),
            });
        }
        Ok(Arc::new(self))
    }

    fn calibrate(&mut self, rows: &[LayerRows]) -> Result<(), PolicyError> {
        for bits in [self.key_bits, self.value_bits] {
            if ![2, 3, 4].contains(&bits) {
                return Err(PolicyError::Settings {
                    policy: Self::NAME.to_owned(),
                    problem: format!("a codebook of {bits} bits: choose 2, 3 or 4"),
                });
            }
        }
        let fit = |rows| fit::fit(rows, self.key_bits, self.value_bits, self.outliers);
        self.layers = rows.iter().map(fit).collect();
        Ok(())
    }
}

impl KvQuant {
    fn side(&self, group: usize, scale: Scale, centroids: &[f32]) -> Result<Side, PolicyError> {
        let format = Codebook::calibrated(group, scale, centroids.to_vec());
        let format = format.and_then(|codebook| -> Result<Arc<dyn Format>, String> {
            Ok(match self.outliers {
                0 => Arc::new(codebook),
                count => Arc::new(Outliers::new(Arc::new(codebook), count)?),
            })
        });
        let wrong = |problem| PolicyError::Settings { policy: Self::NAME.to_owned(), problem };
        Ok(Side::per_token(format.map_err(wrong)?))
    }
}

impl KvCachePolicy for KvQuant {
    fn name(&self) -> String {
        Self::NAME.to_owned()
    }

    fn layer(
        &self,
        layer: &LayerGeometry,
        context: &Context,
    ) -> Result<Box<dyn LayerCache>, PolicyError> {
        let channels = layer.kv_heads * layer.head_dim;
        let codebooks = self.layers.get(layer.layer).filter(|codebooks| {
            self.layers.len() == layer.layers
                && [&codebooks.key_offset, &codebooks.key_scale]
                    .iter()
                    .all(|list| list.len() == channels)
                && codebooks.key_scale.iter().all(|scale| *scale > 0.0)
        });
        let Some(codebooks) = codebooks else {
            return Err(PolicyError::Settings {
                policy: Self::NAME.to_owned(),
                problem: format!(
                    "it was calibrated for another model than one of {} layers with {channels} key \
                     channels: run `kvr calibrate` for this one",
                    layer.layers
                ),
            });
        };
        let d = layer.head_dim;
        let keys = self.side(d, Scale::None, &codebooks.key_centroids)?;
        let values = self.side(d, Scale::AbsMax, &codebooks.value_centroids)?;
        let table = |values: &[f32]| {
            let data = TensorData::new(values.to_vec(), [1, layer.kv_heads, 1, d]);
            Tensor::<4>::from_data(data, &context.device)
        };
        Ok(Box::new(Wrapped(Normalised {
            inner: PackedCache::new(layer, context, keys, values)?,
            rope: rope_of(layer)?,
            offset: table(&codebooks.key_offset),
            scale: table(&codebooks.key_scale),
        })))
    }
}

/// Keys before RoPE, each channel less its mean and over its standard deviation.
struct Normalised {
    inner: PackedCache,
    rope: Rope,
    /// `[1, Hkv, 1, D]`
    offset: Tensor<4>,
    /// `[1, Hkv, 1, D]`
    scale: Tensor<4>,
}

impl Wrap for Normalised {
    const BY_POSITION: bool = true;

    fn inner(&self) -> &dyn LayerCache {
        &self.inner
    }

    fn inner_mut(&mut self) -> &mut dyn LayerCache {
        &mut self.inner
    }

    fn store(&self, new: Append) -> Append {
        let keys = self.rope.inverse(new.keys, new.position);
        Append { keys: (keys - self.offset.clone()) / self.scale.clone(), ..new }
    }

    fn restore(&self, tile: Tile) -> Tile {
        let keys = tile.keys * self.scale.clone() + self.offset.clone();
        Tile { keys: self.rope.rotate(keys, tile.tokens.start), ..tile }
    }
}
