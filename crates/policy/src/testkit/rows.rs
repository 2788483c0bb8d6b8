//! Random rows that stand for a text: the same token has the same rows whatever the step.

use burn::Tensor;
use burn::tensor::{Device, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{Append, LayerGeometry, Step};

/// Keys, values and queries of a text for one layer.
#[derive(Debug, Clone)]
pub struct Rows {
    keys: Tensor<4>,
    values: Tensor<4>,
    queries: Tensor<4>,
}

impl Rows {
    /// `tokens` tokens for a geometry on a device, made by a seed.
    pub fn random(geometry: &LayerGeometry, device: &Device, tokens: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let d = geometry.head_dim;
        let mut rows = |heads: usize| {
            let shape = [geometry.batch, heads, tokens, d];
            let values: Vec<f32> = (0..shape.iter().product())
                .map(|i: usize| {
                    let v: f32 = (0..3).map(|_| rng.random_range(-0.8f32..0.8)).sum();
                    // One channel is large, as some of keys are.
                    if i % d == 5 { 4.0 * v + 3.0 } else { v }
                })
                .collect();
            Tensor::from_data(TensorData::new(values, shape), device)
        };
        Self {
            keys: rows(geometry.kv_heads),
            values: rows(geometry.kv_heads),
            queries: rows(geometry.query_heads),
        }
    }

    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.keys.dims()[2]
    }

    /// The step of `count` tokens from `position` on.
    pub fn step(&self, position: usize, count: usize) -> Step {
        let new = Append { keys: self.keys.clone(), values: self.values.clone(), position };
        let scale = 1.0 / (self.keys.dims()[3] as f32).sqrt();
        let whole = Step::new(new, self.queries.clone(), scale);
        whole.part(position..position + count, position)
    }

    /// The rows of one sequence of the batch.
    pub fn sequence(&self, index: usize) -> Self {
        let one = |rows: &Tensor<4>| rows.clone().narrow(0, index, 1);
        Self { keys: one(&self.keys), values: one(&self.values), queries: one(&self.queries) }
    }
}
