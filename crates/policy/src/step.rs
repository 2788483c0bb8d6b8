//! One step of a model: new tokens, and the queries at the same positions.

use std::ops::Range;

use burn::Tensor;
use burn::tensor::Device;
use kvr_kernels::{Append, LayerGeometry, Queries};

use crate::PolicyError;

/// New tokens of one layer and the queries at the same positions.
#[derive(Debug, Clone)]
pub struct Step {
    /// The new tokens.
    pub new: Append,
    /// Queries after RoPE, `[B, Hq, S_new, D]`, f32.
    pub queries: Tensor<4>,
    /// What scores are multiplied by before the softmax, usually `1/sqrt(D)`.
    pub scale: f32,
    /// As [`Queries::soft_cap`].
    pub soft_cap: Option<f32>,
    /// Tokens that a query reads at most, its own included; `None` is all.
    pub window: Option<usize>,
    /// Whether the prompt is complete with this step; see [`crate::wrap::PostPrefill`].
    pub ends_prompt: bool,
    /// What the projections read, `[B, S_new, hidden]`, where the cache asked for it.
    pub hidden: Option<Tensor<3>>,
    /// The output projection `[hidden, Hq · D]`, where the cache asked for it.
    pub output_weight: Option<Tensor<2>>,
}

impl Step {
    /// A step within a prompt, or after it.
    pub fn new(new: Append, queries: Tensor<4>, scale: f32) -> Self {
        Self {
            new,
            queries,
            scale,
            soft_cap: None,
            window: None,
            ends_prompt: false,
            hidden: None,
            output_weight: None,
        }
    }

    /// Checks the three shapes against the geometry.
    ///
    /// # Errors
    /// [`KernelError::Shape`](kvr_kernels::KernelError::Shape) that names the tensor.
    pub fn check(&self, geometry: &LayerGeometry) -> Result<(), PolicyError> {
        self.new.check(geometry)?;
        Ok(geometry.check("queries", &self.queries, geometry.query_heads, self.new.tokens())?)
    }

    /// The tokens to append, and queries that read everything in their window up to their own
    /// token.
    pub fn causal(self) -> (Append, Queries) {
        let mut queries = Queries::causal(self.queries, self.new.position, self.scale);
        queries.soft_cap = self.soft_cap;
        if let Some(window) = self.window {
            for range in &mut queries.visible {
                range.start = range.end.saturating_sub(window);
            }
        }
        (self.new, queries)
    }

    /// The same step on another device.
    pub fn to_device(&self, device: &Device) -> Self {
        let there = |rows: &Tensor<4>| rows.clone().to_device(device);
        let Append { keys, values, position } = &self.new;
        Self {
            new: Append { keys: there(keys), values: there(values), position: *position },
            queries: there(&self.queries),
            hidden: self.hidden.clone().map(|hidden| hidden.to_device(device)),
            output_weight: self.output_weight.clone().map(|weight| weight.to_device(device)),
            ..*self
        }
    }

    /// The same step at `position` of another count.
    pub fn at(mut self, position: usize) -> Self {
        self.new.position = position;
        self
    }

    /// The tokens in `range` of this step, with their queries, at `position` of another count.
    pub fn part(&self, range: Range<usize>, position: usize) -> Self {
        let queries = self.queries.clone().narrow(2, range.start, range.len());
        self.with(self.new.part(range, position), queries)
    }

    /// Some sequences and key-value heads of this step, with the query heads that read them.
    pub fn heads(&self, sequences: Range<usize>, heads: Range<usize>) -> Self {
        let group = self.queries.dims()[1] / self.new.keys.dims()[1];
        let cut = |tensor: &Tensor<4>, heads: Range<usize>| {
            let [b, h, ..] = tensor.dims();
            if sequences == (0..b) && heads == (0..h) {
                return tensor.clone();
            }
            let tensor = tensor.clone().narrow(0, sequences.start, sequences.len());
            tensor.narrow(1, heads.start, heads.len())
        };
        let new = Append {
            keys: cut(&self.new.keys, heads.clone()),
            values: cut(&self.new.values, heads.clone()),
            position: self.new.position,
        };
        self.with(new, cut(&self.queries, heads.start * group..heads.end * group))
    }

    /// Other rows that are attended in the same way.
    fn with(&self, new: Append, queries: Tensor<4>) -> Self {
        let Self { scale, soft_cap, window, .. } = *self;
        Self { soft_cap, window, ..Self::new(new, queries, scale) }
    }
}
