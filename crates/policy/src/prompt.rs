//! A prompt that is complete: what a method that compresses prompts may see of it.
//!
//! This is how the field evicts: the prompt is processed with the full cache, scores are computed
//! once, and later tokens read what was kept. A cache declares in [`Needs`] what it wants to see,
//! so that nothing else is held.

use burn::Tensor;
use kvr_kernels::attention::{self, received};
use kvr_kernels::{Append, CacheView, Queries, Tile};

use crate::PolicyError;

/// What a cache wants to know of a prompt when it is complete. Keys and values are always there,
/// keys and queries before RoPE follow from those after it
/// ([`Rope::inverse`](kvr_kernels::Rope::inverse)), and [`LayerGeometry`](crate::LayerGeometry)
/// has the index of the layer and their number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// Queries of this many last tokens; [`usize::MAX`] for all, from which all attention follows.
    pub queries: usize,
    /// The hidden states that the layer's projections read.
    pub hidden: bool,
    /// The weight of the output projection.
    pub output_weight: bool,
}

impl Needs {
    /// What either of two caches wants.
    pub fn union(self, other: Self) -> Self {
        Self {
            queries: self.queries.max(other.queries),
            hidden: self.hidden || other.hidden,
            output_weight: self.output_weight || other.output_weight,
        }
    }
}

/// A prompt of `S` tokens as one layer saw it. What was not asked for by [`Needs`] is `None`.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// Keys after RoPE, `[B, Hkv, S, D]`.
    pub keys: Tensor<4>,
    /// Values, `[B, Hkv, S, D]`.
    pub values: Tensor<4>,
    /// Queries after RoPE of the last `w` tokens, `[B, Hq, w, D]`.
    pub queries: Option<Tensor<4>>,
    /// What scores are multiplied by before the softmax.
    pub scale: f32,
    /// As [`Queries::soft_cap`].
    pub soft_cap: Option<f32>,
    /// Hidden states that the projections read, `[B, S, hidden]`.
    pub hidden: Option<Tensor<3>>,
    /// The output projection `W_O`, `[hidden, Hq · D]`.
    pub output_weight: Option<Tensor<2>>,
}

impl Prompt {
    /// `S`.
    pub fn tokens(&self) -> usize {
        self.keys.dims()[2]
    }

    /// All tokens, to append to an empty cache.
    pub fn rows(&self) -> Append {
        Append { keys: self.keys.clone(), values: self.values.clone(), position: 0 }
    }

    /// The softmax weights that each token gets from the last `window` queries, summed over these
    /// and averaged over the query heads of a key-value head, `[B, Hkv, S]`. Every query attends
    /// up to its own token.
    ///
    /// # Errors
    /// When the queries were not asked for, or the device fails.
    pub fn attention_received(&self, window: usize) -> Result<Tensor<3>, PolicyError> {
        let queries = self.last_queries(window)?;
        let attended = attention::reference(&queries, self)?;
        Ok(received(&queries, self, &attended.log_sum_exp)?)
    }

    /// The queries of the last `window` tokens, each reading up to its own token.
    ///
    /// # Errors
    /// When they were not asked for.
    pub fn last_queries(&self, window: usize) -> Result<Queries, PolicyError> {
        let window = window.min(self.tokens());
        let queries = self.queries.as_ref().filter(|q| q.dims()[2] >= window);
        let queries = queries.ok_or_else(|| PolicyError::Unsupported {
            what: format!("this method reads the last {window} queries of a prompt"),
            fix: "let needs() ask for as many".to_owned(),
        })?;
        let from = queries.dims()[2] - window;
        let queries = queries.clone().narrow(2, from, window);
        let causal = Queries::causal(queries, self.tokens() - window, self.scale);
        Ok(Queries { soft_cap: self.soft_cap, ..causal })
    }
}

/// Tokens of a tile: attention weights of all queries with one tile exist at a time.
const TILE: usize = 256;

impl CacheView for Prompt {
    fn tokens(&self) -> usize {
        self.keys.dims()[2]
    }

    fn tiles(&self) -> usize {
        Prompt::tokens(self).div_ceil(TILE)
    }

    fn tile_tokens(&self, index: usize) -> std::ops::Range<usize> {
        index * TILE..Prompt::tokens(self).min((index + 1) * TILE)
    }

    fn tile(&self, index: usize) -> Result<Tile, kvr_kernels::KernelError> {
        let tokens = self.tile_tokens(index);
        let part = |rows: &Tensor<4>| rows.clone().narrow(2, tokens.start, tokens.len());
        Ok(Tile { keys: part(&self.keys), values: part(&self.values), tokens })
    }
}
