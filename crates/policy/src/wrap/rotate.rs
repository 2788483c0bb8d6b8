//! A Hadamard rotation around another policy: outlier channels are spread before quantisation.
//!
//! Sources: QuaRot (Ashkboos et al. 2024) rotates queries and keys after RoPE, and values;
//! llama.cpp does it for quantised caches. Queries rotate with the keys, so scores do not change;
//! the inverse is applied to the output of attention. The matrix is Sylvester's, of the largest
//! power of two that divides head_dim, with `signs` multiplied by random signs first (as in QuIP#
//! and TurboQuant).
//!
//! Deviation: QuaRot folds the rotation of values into the weights; here it is computed.

use std::sync::Arc;

use burn::Tensor;
use burn::tensor::{Device, TensorData};
use kvr_kernels::{Append, Context, LayerGeometry, Tile};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::wrapped::{Wrap, Wrapped};
use crate::spec::PolicySpec;
use crate::{KvCachePolicy, LayerCache, PolicyError, Registry};
use crate::{Method, Setting};

/// The settings of a rotation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Rotate {
    /// Whether queries and keys are rotated.
    pub keys: bool,
    /// Whether values are rotated.
    pub values: bool,
    /// Whether channels get random signs first.
    pub signs: bool,
    /// The policy that stores what was rotated.
    pub policy: PolicySpec,
}

impl Default for Rotate {
    fn default() -> Self {
        Self { keys: true, values: true, signs: false, policy: PolicySpec::default() }
    }
}

impl Method for Rotate {
    const NAME: &'static str = "rotate";
    const SUMMARY: &'static str = "Hadamard rotation of keys and values around a policy";
    const SOURCE: &'static str = "QuaRot: Ashkboos et al. 2024, arXiv 2404.00456";

    fn settings() -> Vec<Setting> {
        vec![
            Setting { name: "keys", unit: "true/false", about: "rotate queries and keys" },
            Setting { name: "values", unit: "true/false", about: "rotate values" },
            Setting {
                name: "signs",
                unit: "true/false",
                about: "random signs before the rotation",
            },
            Setting { name: "policy", unit: "policy", about: "what stores the rotated rows" },
        ]
    }

    fn policy(self, registry: &Registry) -> Result<Arc<dyn KvCachePolicy>, PolicyError> {
        let policy = registry.build(&self.policy)?;
        Ok(Arc::new(Rotated { settings: self, policy }))
    }
}

struct Rotated {
    settings: Rotate,
    policy: Arc<dyn KvCachePolicy>,
}

impl KvCachePolicy for Rotated {
    fn name(&self) -> String {
        Rotate::NAME.to_owned()
    }

    fn layer(
        &self,
        layer: &LayerGeometry,
        context: &Context,
    ) -> Result<Box<dyn LayerCache>, PolicyError> {
        let Rotate { keys, values, signs, .. } = self.settings;
        let rotation = Rotation::new(layer.head_dim, signs, &context.device);
        Ok(Box::new(Wrapped(Cache {
            inner: self.policy.layer(layer, context)?,
            keys: keys.then(|| rotation.clone()),
            values: values.then_some(rotation),
        })))
    }

    fn inner(&self) -> Option<&dyn KvCachePolicy> {
        Some(&*self.policy)
    }
}

/// Sylvester's Hadamard matrix of `n` rows, a power of two, over `sqrt(n)`, row-major.
pub(crate) fn hadamard(n: usize) -> Vec<f32> {
    let scale = 1.0 / (n as f32).sqrt();
    let sign = |row: usize, column: usize| (row & column).count_ones().is_multiple_of(2);
    (0..n * n).map(|i| if sign(i / n, i % n) { scale } else { -scale }).collect()
}

/// An orthonormal matrix and its inverse, `[n, n]` each; `n` divides head_dim.
#[derive(Debug, Clone)]
struct Rotation {
    matrix: Tensor<2>,
    inverse: Tensor<2>,
}

impl Rotation {
    fn new(head_dim: usize, signs: bool, device: &Device) -> Self {
        let n = 1usize << head_dim.trailing_zeros();
        let mut matrix = hadamard(n);
        if signs {
            let mut rng = ChaCha8Rng::seed_from_u64(0);
            for row in matrix.chunks_exact_mut(n) {
                if rng.random::<bool>() {
                    row.iter_mut().for_each(|x| *x = -*x);
                }
            }
        }
        let matrix = Tensor::<2>::from_data(TensorData::new(matrix, [n, n]), device);
        Self { inverse: matrix.clone().transpose(), matrix }
    }
}

/// Rows times a matrix, block by block of head_dim.
fn apply(rows: Tensor<4>, matrix: &Tensor<2>) -> Tensor<4> {
    let shape = rows.dims();
    let n = matrix.dims()[0];
    let blocks = rows.reshape([shape.iter().product::<usize>() / n, n]);
    blocks.matmul(matrix.clone()).reshape(shape)
}

/// Rows rotated, where there is a rotation.
fn rotated(rows: Tensor<4>, rotation: Option<&Rotation>) -> Tensor<4> {
    match rotation {
        Some(rotation) => apply(rows, &rotation.matrix),
        None => rows,
    }
}

/// The inverse of [`rotated`].
fn restored(rows: Tensor<4>, rotation: Option<&Rotation>) -> Tensor<4> {
    match rotation {
        Some(rotation) => apply(rows, &rotation.inverse),
        None => rows,
    }
}

struct Cache {
    inner: Box<dyn LayerCache>,
    keys: Option<Rotation>,
    values: Option<Rotation>,
}

impl Wrap for Cache {
    fn inner(&self) -> &dyn LayerCache {
        &*self.inner
    }

    fn inner_mut(&mut self) -> &mut dyn LayerCache {
        &mut *self.inner
    }

    fn store(&self, new: Append) -> Append {
        Append {
            keys: rotated(new.keys, self.keys.as_ref()),
            values: rotated(new.values, self.values.as_ref()),
            position: new.position,
        }
    }

    fn ask(&self, queries: Tensor<4>) -> Tensor<4> {
        rotated(queries, self.keys.as_ref())
    }

    fn answer(&self, output: Tensor<4>) -> Tensor<4> {
        restored(output, self.values.as_ref())
    }

    fn restore(&self, tile: Tile) -> Tile {
        Tile {
            keys: restored(tile.keys, self.keys.as_ref()),
            values: restored(tile.values, self.values.as_ref()),
            tokens: tile.tokens,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_is_sylvesters_and_orthonormal() {
        let h = hadamard(4).map_signs();
        assert_eq!(h, ["++++", "+-+-", "++--", "+--+"]);
        let device = Device::flex();
        for (head_dim, n, signs) in [(64, 64, true), (96, 32, false), (80, 16, true)] {
            let rotation = Rotation::new(head_dim, signs, &device);
            assert_eq!(rotation.matrix.dims(), [n, n]);
            let product = rotation.matrix.matmul(rotation.inverse);
            let off: f32 = (product - Tensor::eye(n, &device)).abs().max().into_scalar();
            assert!(off < 1e-6, "{head_dim}: {off}");
        }
    }

    trait MapSigns {
        fn map_signs(&self) -> Vec<String>;
    }

    impl MapSigns for Vec<f32> {
        fn map_signs(&self) -> Vec<String> {
            let n = self.len().isqrt();
            let sign = |x: &f32| if *x > 0.0 { '+' } else { '-' };
            self.chunks_exact(n).map(|row| row.iter().map(sign).collect()).collect()
        }
    }
}
