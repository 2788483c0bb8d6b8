//! What flows into a cache: new tokens, queries, and the two together.

use std::ops::Range;

use burn::Tensor;
use burn::tensor::Device;

use crate::{LayerGeometry, PolicyError};

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
    /// [`PolicyError::Shape`] that names the tensor.
    pub fn check(&self, geometry: &LayerGeometry) -> Result<(), PolicyError> {
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
}

impl Queries {
    /// Queries of which the first is at `position` and each reads every token up to its own.
    pub fn causal(queries: Tensor<4>, position: usize, scale: f32) -> Self {
        let steps = queries.dims()[2];
        Self { queries, visible: (0..steps).map(|i| 0..position + i + 1).collect(), scale }
    }

    /// The same queries over a part of the tokens, which are counted from its beginning.
    pub fn within(&self, part: Range<usize>) -> Self {
        let inside = |at: usize| at.clamp(part.start, part.end) - part.start;
        let visible = self.visible.iter().map(|range| inside(range.start)..inside(range.end));
        self.over(visible.collect())
    }

    /// The same queries over other tokens.
    pub fn over(&self, visible: Vec<Range<usize>>) -> Self {
        Self { queries: self.queries.clone(), visible, scale: self.scale }
    }
}

/// New tokens of one layer and the queries at the same positions.
#[derive(Debug, Clone)]
pub struct Step {
    /// The new tokens.
    pub new: Append,
    /// Queries after RoPE, `[B, Hq, S_new, D]`, f32.
    pub queries: Tensor<4>,
    /// What scores are multiplied by before the softmax, usually `1/sqrt(D)`.
    pub scale: f32,
}

impl Step {
    /// Checks the three shapes against the geometry.
    ///
    /// # Errors
    /// [`PolicyError::Shape`] that names the tensor.
    pub fn check(&self, geometry: &LayerGeometry) -> Result<(), PolicyError> {
        self.new.check(geometry)?;
        geometry.check("queries", &self.queries, geometry.query_heads, self.new.tokens())
    }

    /// The tokens to append, and queries that read everything up to their own token.
    pub fn causal(self) -> (Append, Queries) {
        let queries = Queries::causal(self.queries, self.new.position, self.scale);
        (self.new, queries)
    }

    /// The same step on another device.
    pub fn to_device(&self, device: &Device) -> Self {
        let there = |rows: &Tensor<4>| rows.clone().to_device(device);
        let Append { keys, values, position } = &self.new;
        Self {
            new: Append { keys: there(keys), values: there(values), position: *position },
            queries: there(&self.queries),
            scale: self.scale,
        }
    }

    /// The same step at `position` of another count.
    pub fn at(mut self, position: usize) -> Self {
        self.new.position = position;
        self
    }

    /// The tokens in `range` of this step, with their queries, at `position` of another count.
    pub fn part(&self, range: Range<usize>, position: usize) -> Self {
        Self {
            queries: self.queries.clone().narrow(2, range.start, range.len()),
            new: self.new.part(range, position),
            scale: self.scale,
        }
    }

    /// Some sequences and key-value heads of this step, with the query heads that read them.
    pub fn heads(&self, sequences: Range<usize>, heads: Range<usize>) -> Self {
        let group = self.queries.dims()[1] / self.new.keys.dims()[1];
        let cut = |tensor: &Tensor<4>, heads: Range<usize>| {
            let [b, h, ..] = tensor.dims();
            if sequences == (0..b) && heads == (0..h) {
                return tensor.clone();
            }
            tensor.clone().narrow(0, sequences.start, sequences.len()).narrow(
                1,
                heads.start,
                heads.len(),
            )
        };
        Self {
            queries: cut(&self.queries, heads.start * group..heads.end * group),
            new: Append {
                keys: cut(&self.new.keys, heads.clone()),
                values: cut(&self.new.values, heads),
                position: self.new.position,
            },
            scale: self.scale,
        }
    }
}
