//! The geometry that a policy is told when it makes the cache of one layer.

use std::sync::Arc;

use burn::Tensor;
use burn::tensor::Device;

use crate::PolicyError;
use crate::kernels::MatrixUnits;

/// What one layer's cache has to hold, and where.
///
/// Axis letters used everywhere in this crate: `B` batch, `Hq` query heads, `Hkv` key-value heads,
/// `S` tokens, `D` head_dim.
#[derive(Debug, Clone)]
pub struct LayerGeometry {
    /// Index of this layer, from 0.
    pub layer: usize,
    /// Number of layers in the model.
    pub layers: usize,
    /// `B`: sequences that advance together.
    pub batch: usize,
    /// `Hq`: query heads.
    pub query_heads: usize,
    /// `Hkv`: key-value heads; divides `query_heads`.
    pub kv_heads: usize,
    /// `D`: values in one head's key or value.
    pub head_dim: usize,
    /// How keys were rotated by their position; `None` where the model does it otherwise.
    pub rope: Option<Rope>,
    /// Where the cache's tensors live.
    pub device: Device,
    /// Matrix units that attention may use there, in f16; `None`, the rule, is attention in f32.
    pub matrices: Option<MatrixUnits>,
}

/// Rotary position embedding (Su et al. 2021) in halves, as Llama has it: value `i` and value
/// `i + D/2` turn together.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Angle per position of each of the `D/2` pairs, in radians.
    pub frequencies: Arc<[f32]>,
}

impl LayerGeometry {
    /// Checks that a tensor is `[B, heads, tokens, D]` with at least one token.
    ///
    /// # Errors
    /// [`PolicyError::Shape`] that names `what`.
    pub fn check(
        &self,
        what: &'static str,
        tensor: &Tensor<4>,
        heads: usize,
        tokens: usize,
    ) -> Result<(), PolicyError> {
        let got = tensor.dims();
        if got == [self.batch, heads, tokens, self.head_dim] && tokens > 0 {
            return Ok(());
        }
        Err(PolicyError::Shape {
            what,
            expected: format!(
                "[B {}, H {heads}, S {}, D {}]",
                self.batch,
                if tokens > 0 { tokens.to_string() } else { "> 0".to_owned() },
                self.head_dim
            ),
            got: format!("{got:?}"),
        })
    }

    /// The same layer with other numbers of sequences and key-value heads, and as many query heads
    /// for each of these.
    pub fn part(&self, batch: usize, kv_heads: usize) -> Self {
        let group = self.query_heads / self.kv_heads;
        Self { batch, kv_heads, query_heads: group * kv_heads, ..self.clone() }
    }
}
