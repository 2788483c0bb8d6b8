//! Weights made from a seed: for speed and memory where no trained ones are at hand.

use burn::tensor::DType;
use half::f16;
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::{Dense, Matrix, Weights};
use crate::ModelError;

/// f16 weights, uniform with the variance `1/in` that keeps activations of order one; norms are 1.
///
/// The same seed gives the same weights on every machine, and each tensor depends on its name
/// only, not on the order in which tensors are made.
pub(crate) struct RandomWeights {
    pub(crate) seed: u64,
}

/// Values made from one generator: the unit in which tensors are filled in parallel.
const RUN: usize = 1 << 16;

impl Weights for RandomWeights {
    fn contains(&self, _: &str) -> bool {
        true
    }

    fn matrix(&mut self, name: &str, [rows, columns]: [usize; 2]) -> Result<Matrix, ModelError> {
        let digest =
            Sha256::new().chain_update(self.seed.to_le_bytes()).chain_update(name).finalize();
        let scale = (3.0 / columns as f32).sqrt() / f32::from(i16::MAX);
        let mut values = vec![f16::ZERO; rows * columns];
        values.par_chunks_mut(RUN).enumerate().for_each(|(run, values)| {
            let mut rng = ChaCha8Rng::from_seed(digest.into());
            rng.set_stream(run as u64);
            let mut random = vec![0u8; 2 * values.len()];
            rng.fill_bytes(&mut random);
            for (value, b) in values.iter_mut().zip(random.chunks_exact(2)) {
                *value = f16::from_f32(f32::from(i16::from_le_bytes([b[0], b[1]])) * scale);
            }
        });
        let bytes = bytemuck::cast_slice(&values).to_vec();
        Ok(Matrix::Dense(Dense { bytes, dtype: DType::F16, rows, columns }))
    }

    fn vector(&mut self, name: &str, width: usize) -> Result<Matrix, ModelError> {
        let value = if name.ends_with(".bias") { 0.0f32 } else { 1.0 };
        let bytes = bytemuck::cast_slice(&vec![value; width]).to_vec();
        Ok(Matrix::Dense(Dense { bytes, dtype: DType::F32, rows: width, columns: 1 }))
    }

    fn finish(&mut self, _: &[&str], _: &[&str]) -> Result<(), ModelError> {
        Ok(())
    }
}
