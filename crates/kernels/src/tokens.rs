//! What flows into a cache: new tokens, and queries with the tokens that each of them reads.

use std::ops::Range;

use burn::Tensor;

use crate::error::KernelError;
use crate::geometry::LayerGeometry;

/// New keys and values of one layer, in the order of the text.
#[derive(Debug, Clone)]
pub struct Append {
    /// Keys after RoPE, `[B, Hkv, S_new, D]`, f32.
    pub keys: Tensor<4>,
    /// Values, `[B, Hkv, S_new, D]`, f32.
    pub values: Tensor<4>,
    /// Number of the first new token in the cache's own count: how many it holds already.
    pub position: usize,
}

impl Append {
    /// Checks both shapes against the geometry.
    ///
    /// # Errors
    /// [`KernelError::Shape`] that names the tensor.
    pub fn check(&self, geometry: &LayerGeometry) -> Result<(), KernelError> {
        let tokens = self.keys.dims()[2];
        geometry.check("keys", &self.keys, geometry.kv_heads, tokens)?;
        geometry.check("values", &self.values, geometry.kv_heads, tokens)
    }

    /// Number of new tokens, `S_new`.
    pub fn tokens(&self) -> usize {
        self.keys.dims()[2]
    }

    /// The tokens in `range` of these, at `position` of another count.
    pub fn part(&self, range: Range<usize>, position: usize) -> Self {
        Self {
            keys: self.keys.clone().narrow(2, range.start, range.len()),
            values: self.values.clone().narrow(2, range.start, range.len()),
            position,
        }
    }
}

/// Queries, and which tokens each of them reads.
#[derive(Debug, Clone)]
pub struct Queries {
    /// Queries after RoPE, `[B, Hq, S, D]`, f32.
    pub queries: Tensor<4>,
    /// For each of the `S` queries the tokens that it reads, in the cache's own count; may be empty
    /// or reach beyond what is held.
    pub visible: Vec<Range<usize>>,
    /// What scores are multiplied by before the softmax, usually `1/sqrt(D)`.
    pub scale: f32,
    /// Scaled scores `x` become `cap · tanh(x / cap)` before the softmax (Gemma 2).
    pub soft_cap: Option<f32>,
}

impl Queries {
    /// Queries of which the first is at `position` and each reads every token up to its own.
    pub fn causal(queries: Tensor<4>, position: usize, scale: f32) -> Self {
        let steps = queries.dims()[2];
        let visible = (0..steps).map(|i| 0..position + i + 1).collect();
        Self { queries, visible, scale, soft_cap: None }
    }

    /// The same queries over a part of the tokens, which are counted from its beginning.
    pub fn within(&self, part: Range<usize>) -> Self {
        let inside = |at: usize| at.clamp(part.start, part.end) - part.start;
        let visible = self.visible.iter().map(|range| inside(range.start)..inside(range.end));
        self.over(visible.collect())
    }

    /// The same queries over other tokens.
    pub fn over(&self, visible: Vec<Range<usize>>) -> Self {
        Self { queries: self.queries.clone(), visible, ..*self }
    }
}
