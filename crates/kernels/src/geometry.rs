//! The geometry of the cache of one layer.

use burn::Tensor;

use crate::error::KernelError;
use crate::rope::Rope;

/// What one layer's cache has to hold.
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
    /// How keys were rotated by their position; `None` for other position embeddings.
    pub rope: Option<Rope>,
    /// Tokens that a query reads at most, its own included (a sliding window); `None` is all.
    pub window: Option<usize>,
}

impl LayerGeometry {
    /// Checks that a tensor is `[B, heads, tokens, D]` with at least one token.
    ///
    /// # Errors
    /// [`KernelError::Shape`] that names `what`.
    pub fn check(
        &self,
        what: &'static str,
        tensor: &Tensor<4>,
        heads: usize,
        tokens: usize,
    ) -> Result<(), KernelError> {
        let got = tensor.dims();
        if got == [self.batch, heads, tokens, self.head_dim] && tokens > 0 {
            return Ok(());
        }
        Err(KernelError::Shape {
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
