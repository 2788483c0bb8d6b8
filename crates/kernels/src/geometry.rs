//! The geometry of the cache of one layer.

use std::sync::Arc;

use burn::Tensor;
use burn::tensor::TensorData;

use crate::error::KernelError;

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
}

/// Rotary position embedding (Su et al. 2021) as Llama has it: value `i` and value `i + D/2` are
/// a pair and rotate together.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Angle per position of each of the `D/2` pairs, in radians.
    pub frequencies: Arc<[f32]>,
}

impl Rope {
    /// Rotates rows `[B, H, S, D]` by their positions, of which the first is `first`.
    pub fn rotate(&self, rows: Tensor<4>, first: usize) -> Tensor<4> {
        self.apply(rows, first, 1.0)
    }

    /// The inverse of [`rotate`](Self::rotate): rows as they are before RoPE.
    pub fn inverse(&self, rows: Tensor<4>, first: usize) -> Tensor<4> {
        self.apply(rows, first, -1.0)
    }

    fn apply(&self, rows: Tensor<4>, first: usize, sign: f32) -> Tensor<4> {
        let [_, _, s, d] = rows.dims();
        let angles = (first..first + s)
            .flat_map(|position| self.frequencies.iter().map(move |f| position as f32 * f));
        let (sin, cos): (Vec<f32>, Vec<f32>) = angles.map(f32::sin_cos).unzip();
        let table = |values: Vec<f32>| {
            Tensor::<4>::from_data(TensorData::new(values, [1, 1, s, d / 2]), &rows.device())
        };
        let (sin, cos) = (table(sin) * sign, table(cos));
        let low = rows.clone().narrow(3, 0, d / 2);
        let high = rows.narrow(3, d / 2, d / 2);
        let rotated =
            [low.clone() * cos.clone() - high.clone() * sin.clone(), high * cos + low * sin];
        Tensor::cat(rotated.into(), 3)
    }
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
