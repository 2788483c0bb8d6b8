//! A Hadamard rotation around another policy: outlier channels are spread before they are quantised.
//!
//! Sources: QuaRot (Ashkboos et al. 2024) rotates queries and keys after RoPE, and values; llama.cpp
//! does so for quantised caches. Queries turn with the keys, so scores stay what they are; values
//! are turned back after attention. The matrix is Sylvester's, of the largest power of two that
//! divides head_dim, with `signs` multiplied by random signs first (as in QuIP# and TurboQuant).
//!
//! Deviation: QuaRot folds the rotation of values into the weights; here it is computed.

use std::ops::Range;
use std::sync::Arc;

use burn::Tensor;
use burn::tensor::{Device, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::method::{Method, Setting};
use crate::spec::PolicySpec;
use crate::{
    Append, Attended, CacheView, Footprint, KvCachePolicy, LayerCache, LayerGeometry, PolicyError,
    Promise, Queries, Registry, Step, Tile,
};

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

    fn layer(&self, layer: &LayerGeometry) -> Result<Box<dyn LayerCache>, PolicyError> {
        let turn = Turn::new(layer.head_dim, self.settings.signs, &layer.device);
        let Rotate { keys, values, .. } = self.settings;
        let turn = |wanted: bool| wanted.then(|| turn.clone());
        let (keys, values) = (turn(keys), turn(values));
        Ok(Box::new(Cache { inner: self.policy.layer(layer)?, keys, values }))
    }

    fn promise(&self) -> Promise {
        self.policy.promise()
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
struct Turn {
    matrix: Tensor<2>,
    inverse: Tensor<2>,
}

impl Turn {
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

    fn apply(rows: Tensor<4>, matrix: &Tensor<2>) -> Tensor<4> {
        let shape = rows.dims();
        let n = matrix.dims()[0];
        let blocks = rows.reshape([shape.iter().product::<usize>() / n, n]);
        blocks.matmul(matrix.clone()).reshape(shape)
    }
}

/// `rows` turned, where there is a turn.
fn turned(rows: Tensor<4>, turn: Option<&Turn>) -> Tensor<4> {
    turn.map_or(rows.clone(), |turn| Turn::apply(rows, &turn.matrix))
}

/// `rows` turned back, where there is a turn.
fn unturned(rows: Tensor<4>, turn: Option<&Turn>) -> Tensor<4> {
    turn.map_or(rows.clone(), |turn| Turn::apply(rows, &turn.inverse))
}

struct Cache {
    inner: Box<dyn LayerCache>,
    keys: Option<Turn>,
    values: Option<Turn>,
}

impl Cache {
    fn new_rows(&self, new: Append) -> Append {
        Append {
            keys: turned(new.keys, self.keys.as_ref()),
            values: turned(new.values, self.values.as_ref()),
            position: new.position,
        }
    }
}

impl LayerCache for Cache {
    fn geometry(&self) -> &LayerGeometry {
        self.inner.geometry()
    }

    fn append(&mut self, new: Append) -> Result<(), PolicyError> {
        new.check(self.geometry())?;
        self.inner.append(self.new_rows(new))
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

    fn fused(&self) -> bool {
        self.inner.fused()
    }

    fn attend(&self, queries: &Queries) -> Result<Attended, PolicyError> {
        let turned = turned(queries.queries.clone(), self.keys.as_ref());
        let queries = Queries { queries: turned, ..queries.clone() };
        let Attended { output, log_sum } = self.inner.attend(&queries)?;
        Ok(Attended { output: unturned(output, self.values.as_ref()), log_sum })
    }

    fn step(&mut self, step: Step) -> Result<Tensor<4>, PolicyError> {
        step.check(self.geometry())?;
        let queries = turned(step.queries, self.keys.as_ref());
        let step = Step { new: self.new_rows(step.new), queries, scale: step.scale };
        Ok(unturned(self.inner.step(step)?, self.values.as_ref()))
    }

    fn keep(&mut self, kept: &[usize]) -> Result<(), PolicyError> {
        self.inner.keep(kept)
    }
}

impl CacheView for Cache {
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
        let Tile { keys, values, tokens } = self.inner.view().tile(index)?;
        Ok(Tile {
            keys: unturned(keys, self.keys.as_ref()),
            values: unturned(values, self.values.as_ref()),
            tokens,
        })
    }

    fn positions(&self, sequence: usize, head: usize) -> Vec<usize> {
        self.inner.view().positions(sequence, head)
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
            let turn = Turn::new(head_dim, signs, &device);
            assert_eq!(turn.matrix.dims(), [n, n]);
            let product = turn.matrix.matmul(turn.inverse);
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
