//! A cache around another cache, which implements only what it changes.
//!
//! [`Wrapped`] makes a [`LayerCache`] of a [`Wrap`] and forwards everything: steps, attention,
//! evictions, the end of a prompt, bytes. A wrapper implements none of these itself, so none can be
//! left out, and a window or an eviction inside is never bypassed.

use std::ops::Range;

use burn::Tensor;
use kvr_kernels::{
    Append, CacheView, Footprint, KernelError, LayerGeometry, PartialAttention, Queries, Tile,
    attention,
};

use crate::prompt::{Needs, Prompt};
use crate::{LayerCache, PolicyError, Step};

/// What a wrapper changes on the way into another cache and out of it. Every default changes
/// nothing.
pub trait Wrap: Send {
    /// Whether what is stored depends on the position of a token. The cache inside can then not
    /// attend by itself: attention reads decoded tiles, and single tokens can't be evicted.
    const BY_POSITION: bool = false;

    /// The cache inside.
    fn inner(&self) -> &dyn LayerCache;

    /// The cache inside.
    fn inner_mut(&mut self) -> &mut dyn LayerCache;

    /// New rows as the cache inside stores them.
    fn store(&self, new: Append) -> Append {
        new
    }

    /// Queries `[B, Hq, S, D]` as the cache inside takes them.
    fn ask(&self, queries: Tensor<4>) -> Tensor<4> {
        queries
    }

    /// The inverse of [`store`](Self::store) for the values' weighted means `[B, Hq, S, D]`.
    fn answer(&self, output: Tensor<4>) -> Tensor<4> {
        output
    }

    /// The inverse of [`store`](Self::store) for a decoded tile.
    fn restore(&self, tile: Tile) -> Tile {
        tile
    }
}

/// The cache that a wrapper is.
#[derive(Debug)]
pub struct Wrapped<W>(pub W);

impl<W: Wrap> Wrapped<W> {
    fn asked(&self, queries: &Queries) -> Queries {
        Queries { queries: self.0.ask(queries.queries.clone()), ..queries.clone() }
    }
}

impl<W: Wrap> LayerCache for Wrapped<W> {
    fn geometry(&self) -> &LayerGeometry {
        self.0.inner().geometry()
    }

    fn append(&mut self, new: Append) -> Result<(), PolicyError> {
        new.check(self.geometry())?;
        let new = self.0.store(new);
        self.0.inner_mut().append(new)
    }

    fn view(&self) -> Box<dyn CacheView + '_> {
        Box::new(Restored { wrap: &self.0, inner: self.0.inner().view() })
    }

    fn footprint(&self) -> Footprint {
        self.0.inner().footprint()
    }

    fn reset(&mut self) {
        self.0.inner_mut().reset();
    }

    fn fused(&self) -> bool {
        !W::BY_POSITION && self.0.inner().fused()
    }

    fn attend(&self, queries: &Queries) -> Result<PartialAttention, PolicyError> {
        if W::BY_POSITION {
            return Ok(attention::reference(queries, &*self.view())?);
        }
        let attended = self.0.inner().attend(&self.asked(queries))?;
        Ok(PartialAttention { output: self.0.answer(attended.output), ..attended })
    }

    fn step(&mut self, step: Step) -> Result<Tensor<4>, PolicyError> {
        step.check(self.geometry())?;
        if W::BY_POSITION {
            let (new, queries) = step.causal();
            self.append(new)?;
            return Ok(self.attend(&queries)?.output);
        }
        let new = self.0.store(step.new);
        let queries = self.0.ask(step.queries);
        let output = self.0.inner_mut().step(Step { new, queries, ..step })?;
        Ok(self.0.answer(output))
    }

    fn keep(&mut self, kept: &[usize]) -> Result<(), PolicyError> {
        if W::BY_POSITION {
            return Err(PolicyError::Unsupported {
                what: "keys before RoPE are restored by their position, so none can be evicted"
                    .to_owned(),
                fix: "evict from a policy that stores keys after RoPE".to_owned(),
            });
        }
        self.0.inner_mut().keep(kept)
    }

    fn needs(&self) -> Needs {
        self.0.inner().needs()
    }

    fn compress(&mut self, prompt: Prompt) -> Result<(), PolicyError> {
        let Append { keys, values, .. } = self.0.store(prompt.rows());
        let queries = prompt.queries.map(|queries| self.0.ask(queries));
        self.0.inner_mut().compress(Prompt { keys, values, queries, ..prompt })
    }
}

/// The view of the cache inside, restored tile by tile.
struct Restored<'a, W> {
    wrap: &'a W,
    inner: Box<dyn CacheView + 'a>,
}

impl<W: Wrap> CacheView for Restored<'_, W> {
    fn tokens(&self) -> usize {
        self.inner.tokens()
    }

    fn tiles(&self) -> usize {
        self.inner.tiles()
    }

    fn tile_tokens(&self, index: usize) -> Range<usize> {
        self.inner.tile_tokens(index)
    }

    fn tile(&self, index: usize) -> Result<Tile, KernelError> {
        Ok(self.wrap.restore(self.inner.tile(index)?))
    }

    fn positions(&self, sequence: usize, head: usize) -> Vec<usize> {
        self.inner.positions(sequence, head)
    }
}
