//! Where weights come from: safetensors files, an embedded file, or a seed.

mod content;
mod matrix;
mod random;
mod safetensors;

pub(crate) use content::{Content, sha256};
pub(crate) use matrix::{Dense, Matrix};
pub(crate) use random::RandomWeights;
pub(crate) use safetensors::{INDEX, SINGLE, TensorFiles, read, shards};

use crate::ModelError;

/// A source of named weights. Each is asked for once.
pub(crate) trait Weights {
    /// Whether there is a weight of that name.
    fn contains(&self, name: &str) -> bool;

    /// The matrix of that name and shape `[out, in]`.
    fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Matrix, ModelError>;

    /// The vector of that name and width, as a matrix of one column.
    fn vector(&mut self, name: &str, width: usize) -> Result<Matrix, ModelError>;

    /// Says that nothing more is asked for; what is left over is an error, but for tensors whose
    /// name has one of these endings or beginnings.
    fn finish(&mut self, endings: &[&str], beginnings: &[&str]) -> Result<(), ModelError>;
}
