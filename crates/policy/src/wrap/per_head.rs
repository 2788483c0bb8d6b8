//! A cache in which every key-value head of every sequence goes its own way, token by token.
//!
//! What evicting and adaptive policies share: heads hold different tokens, so each has stores of its
//! own; and what a query reads depends on what the queries before it did, so steps of any size are
//! taken token by token. Only attention is: the rest of the model runs over the whole step.

use std::ops::Range;

use burn::Tensor;
use rayon::prelude::*;

use crate::view::beside;
use crate::{
    Append, Attended, CacheView, Footprint, LayerCache, LayerGeometry, PolicyError, Queries, Step,
    Tile,
};

/// One key-value head of one sequence.
pub trait HeadCache: Send {
    /// Takes one token: keys and values `[1, 1, 1, D]` at an absolute position. With `attend` its
    /// queries `[1, G, 1, D]` read what is held then, and the answer has their shape.
    ///
    /// # Errors
    /// When the device fails.
    fn take(&mut self, token: Step, attend: bool) -> Result<Option<Tensor<4>>, PolicyError>;

    /// Called after each token with all heads of a sequence, when `seen` tokens have come: here
    /// budgets are kept.
    ///
    /// # Errors
    /// When the device fails.
    fn settle(heads: &mut [Self], seen: usize) -> Result<(), PolicyError>
    where
        Self: Sized;

    /// Attention over what is held; ranges beyond it are cut.
    ///
    /// # Errors
    /// When the device fails.
    fn attend(&self, queries: &Queries) -> Result<Attended, PolicyError>;

    /// Whether everything that a token reads is read as it is packed.
    fn fused(&self) -> bool;

    /// What is held, as one head.
    fn view(&self) -> &dyn CacheView;

    /// Absolute positions of what is held, ascending.
    fn positions(&self) -> Vec<usize>;

    /// Bytes of live buffers.
    fn footprint(&self) -> Footprint;

    /// Forgets every token.
    fn reset(&mut self);
}

/// The heads of one layer.
pub struct PerHead<H> {
    geometry: LayerGeometry,
    /// `[B][Hkv]`
    heads: Vec<H>,
    seen: usize,
}

/// The numbers of a tensor.
pub(crate) fn host<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, PolicyError> {
    let data = tensor.into_data().try_into_vec::<f32>();
    data.map_err(|e| PolicyError::Device(format!("{e:?}")))
}

impl<H: HeadCache> PerHead<H> {
    /// `head` makes an empty head for the geometry of one sequence and one key-value head.
    ///
    /// # Errors
    /// What `head` says.
    pub fn new(
        layer: &LayerGeometry,
        head: impl Fn(&LayerGeometry) -> Result<H, PolicyError>,
    ) -> Result<Self, PolicyError> {
        let one = layer.part(1, 1);
        let heads = (0..layer.batch * layer.kv_heads).map(|_| head(&one));
        Ok(Self { geometry: layer.clone(), heads: heads.collect::<Result<_, _>>()?, seen: 0 })
    }

    /// One token of every sequence and head: `[B, Hq, 1, D]`.
    fn token(&mut self, step: &Step, attend: bool) -> Result<Option<Tensor<4>>, PolicyError> {
        let kv_heads = self.geometry.kv_heads;
        let heads = self.heads.par_iter_mut().enumerate();
        let outputs = heads.map(|(i, head)| {
            let (b, h) = (i / kv_heads, i % kv_heads);
            head.take(step.heads(b..b + 1, h..h + 1), attend)
        });
        let outputs = outputs.collect::<Result<Vec<Option<Tensor<4>>>, PolicyError>>()?;
        self.seen += 1;
        let seen = self.seen;
        self.heads.chunks_exact_mut(kv_heads).try_for_each(|heads| H::settle(heads, seen))?;
        let outputs: Option<Vec<Tensor<4>>> = outputs.into_iter().collect();
        Ok(outputs.map(|outputs| self.join(outputs)))
    }

    /// `[B][Hkv]` answers `[1, G, S, _]` to `[B, Hq, S, _]`.
    fn join(&self, answers: Vec<Tensor<4>>) -> Tensor<4> {
        let sequences = answers.chunks(self.geometry.kv_heads);
        Tensor::cat(sequences.map(|heads| Tensor::cat(heads.to_vec(), 1)).collect(), 0)
    }

    fn check(&self, new: &Append) -> Result<(), PolicyError> {
        new.check(&self.geometry)?;
        if new.position == self.seen {
            return Ok(());
        }
        Err(PolicyError::Position { expected: self.seen, got: new.position })
    }

    fn views(&self) -> impl Iterator<Item = &dyn CacheView> {
        self.heads.iter().map(H::view)
    }
}

impl<H: HeadCache> LayerCache for PerHead<H> {
    fn geometry(&self) -> &LayerGeometry {
        &self.geometry
    }

    fn append(&mut self, new: Append) -> Result<(), PolicyError> {
        self.check(&new)?;
        let [b, _, _, d] = new.keys.dims();
        let queries = Tensor::zeros([b, self.geometry.query_heads, 1, d], &new.keys.device());
        for i in 0..new.tokens() {
            let new = new.part(i..i + 1, self.seen);
            self.token(&Step { new, queries: queries.clone(), scale: 1.0 }, false)?;
        }
        Ok(())
    }

    fn view(&self) -> &dyn CacheView {
        self
    }

    fn footprint(&self) -> Footprint {
        self.heads.iter().map(H::footprint).sum()
    }

    fn reset(&mut self) {
        self.heads.iter_mut().for_each(H::reset);
        self.seen = 0;
    }

    fn fused(&self) -> bool {
        self.heads.iter().all(H::fused)
    }

    /// Over what each head holds now; ranges beyond a head's own count are cut.
    fn attend(&self, queries: &Queries) -> Result<Attended, PolicyError> {
        let g = &self.geometry;
        g.check("queries", &queries.queries, g.query_heads, queries.visible.len())?;
        let group = g.query_heads / g.kv_heads;
        let answers = self.heads.iter().enumerate().map(|(i, head)| {
            let rows = queries.queries.clone().narrow(0, i / g.kv_heads, 1);
            let rows = rows.narrow(1, i % g.kv_heads * group, group);
            let Attended { output, log_sum } =
                head.attend(&Queries { queries: rows, ..queries.clone() })?;
            Ok((output, log_sum))
        });
        let answers = answers.collect::<Result<Vec<_>, PolicyError>>()?;
        let (outputs, log_sums) = answers.into_iter().unzip();
        Ok(Attended { output: self.join(outputs), log_sum: self.join(log_sums) })
    }

    fn step(&mut self, step: Step) -> Result<Tensor<4>, PolicyError> {
        step.check(&self.geometry)?;
        self.check(&step.new)?;
        let mut outputs = Vec::new();
        for i in 0..step.new.tokens() {
            outputs.extend(self.token(&step.part(i..i + 1, self.seen), true)?);
        }
        Ok(Tensor::cat(outputs, 2))
    }
}

impl<H: HeadCache> CacheView for PerHead<H> {
    fn tokens(&self) -> usize {
        self.views().map(CacheView::tokens).max().unwrap_or(0)
    }

    fn tiles(&self) -> usize {
        self.views().map(CacheView::tiles).max().unwrap_or(0)
    }

    fn tile_tokens(&self, index: usize) -> Range<usize> {
        let longest = self.views().max_by_key(|view| (view.tiles(), view.tokens()));
        longest.map_or(0..0, |view| view.tile_tokens(index))
    }

    fn tile(&self, index: usize) -> Result<Tile, PolicyError> {
        let start = self.tile_tokens(index).start;
        let g = &self.geometry;
        let empty = || Tensor::zeros([1, 1, 0, g.head_dim], &g.device);
        let tiles = self.views().map(|view| {
            if index < view.tiles() {
                return view.tile(index);
            }
            Ok(Tile { keys: empty(), values: empty(), tokens: start..start })
        });
        let tiles = tiles.collect::<Result<Vec<_>, _>>()?;
        let sequences = tiles.chunks(g.kv_heads).map(|heads| beside(heads.to_vec(), 1));
        Ok(beside(sequences.collect(), 0))
    }

    fn positions(&self, sequence: usize, head: usize) -> Vec<usize> {
        self.heads[sequence * self.geometry.kv_heads + head].positions()
    }
}
