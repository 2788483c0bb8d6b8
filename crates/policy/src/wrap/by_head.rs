//! A cache whose key-value heads are kept by several caches, each with some neighbouring heads.

use std::ops::Range;

use burn::Tensor;

use crate::view::beside;
use crate::{
    Append, Attended, CacheView, Footprint, KvCachePolicy, LayerCache, LayerGeometry, PolicyError,
    Queries, Step, Tile,
};

/// Caches of neighbouring key-value heads of one layer.
pub(crate) struct ByHead {
    geometry: LayerGeometry,
    parts: Vec<Part>,
}

struct Part {
    cache: Box<dyn LayerCache>,
    /// The key-value heads that this cache keeps.
    heads: Range<usize>,
}

impl ByHead {
    /// Caches for runs of heads: a policy and how many heads it keeps, in order.
    pub(crate) fn cache<'a>(
        layer: &LayerGeometry,
        runs: impl Iterator<Item = (&'a dyn KvCachePolicy, usize)>,
    ) -> Result<Box<dyn LayerCache>, PolicyError> {
        let mut start = 0;
        let parts = runs.map(|(policy, count)| {
            let heads = start..start + count;
            start += count;
            Ok(Part { cache: policy.layer(&layer.part(layer.batch, count))?, heads })
        });
        let parts = parts.collect::<Result<_, PolicyError>>()?;
        Ok(Box::new(Self { parts, geometry: layer.clone() }))
    }

    fn part(&self, head: usize) -> (&Part, usize) {
        let part = self.parts.iter().find(|part| part.heads.contains(&head));
        let part = part.unwrap_or(&self.parts[0]);
        (part, head - part.heads.start)
    }
}

/// Heads `range` of `[B, H, S, D]`.
fn heads(tensor: &Tensor<4>, range: &Range<usize>) -> Tensor<4> {
    tensor.clone().narrow(1, range.start, range.len())
}

impl LayerCache for ByHead {
    fn geometry(&self) -> &LayerGeometry {
        &self.geometry
    }

    fn append(&mut self, new: Append) -> Result<(), PolicyError> {
        new.check(&self.geometry)?;
        // Caches check before they change; they were made alike, so what one takes, all take.
        for Part { cache, heads: range } in &mut self.parts {
            cache.append(Append {
                keys: heads(&new.keys, range),
                values: heads(&new.values, range),
                position: new.position,
            })?;
        }
        Ok(())
    }

    fn view(&self) -> &dyn CacheView {
        self
    }

    fn footprint(&self) -> Footprint {
        self.parts.iter().map(|part| part.cache.footprint()).sum()
    }

    fn reset(&mut self) {
        self.parts.iter_mut().for_each(|part| part.cache.reset());
    }

    fn fused(&self) -> bool {
        self.parts.iter().all(|part| part.cache.fused())
    }

    fn attend(&self, queries: &Queries) -> Result<Attended, PolicyError> {
        let group = self.geometry.query_heads / self.geometry.kv_heads;
        let parts = self.parts.iter().map(|Part { cache, heads: kv }| {
            let range = kv.start * group..kv.end * group;
            let queries = Queries { queries: heads(&queries.queries, &range), ..queries.clone() };
            let Attended { output, log_sum } = cache.attend(&queries)?;
            Ok((output, log_sum))
        });
        let (outputs, log_sums) =
            parts.collect::<Result<Vec<_>, PolicyError>>()?.into_iter().unzip();
        Ok(Attended { output: Tensor::cat(outputs, 1), log_sum: Tensor::cat(log_sums, 1) })
    }

    fn step(&mut self, step: Step) -> Result<Tensor<4>, PolicyError> {
        step.check(&self.geometry)?;
        let batch = self.geometry.batch;
        let parts = self.parts.iter_mut();
        let outputs = parts.map(|part| part.cache.step(step.heads(0..batch, part.heads.clone())));
        Ok(Tensor::cat(outputs.collect::<Result<_, _>>()?, 1))
    }

    fn keep(&mut self, kept: &[usize]) -> Result<(), PolicyError> {
        // All parts must be able to, before one of them changes; an empty cache keeps nothing.
        self.parts.iter_mut().try_for_each(|part| part.cache.keep(kept))
    }
}

impl CacheView for ByHead {
    fn tokens(&self) -> usize {
        self.parts.iter().map(|part| part.cache.view().tokens()).max().unwrap_or(0)
    }

    fn tiles(&self) -> usize {
        self.parts.iter().map(|part| part.cache.view().tiles()).max().unwrap_or(0)
    }

    fn tile_tokens(&self, index: usize) -> Range<usize> {
        let longest = self.parts.iter().max_by_key(|part| part.cache.view().tokens());
        longest.map_or(0..0, |part| part.cache.view().tile_tokens(index))
    }

    fn tile(&self, index: usize) -> Result<Tile, PolicyError> {
        let tiles = self.parts.iter().map(|part| part.cache.view().tile(index));
        let tiles = tiles.collect::<Result<Vec<Tile>, _>>()?;
        let start = tiles[0].tokens.start;
        if let Some(other) = tiles.iter().find(|tile| tile.tokens.start != start) {
            return Err(PolicyError::Shape {
                what: "tile",
                expected: format!("tokens from {start} on of every head"),
                got: format!("{:?}", other.tokens),
            });
        }
        Ok(beside(tiles, 1))
    }

    fn positions(&self, sequence: usize, head: usize) -> Vec<usize> {
        let (part, head) = self.part(head);
        part.cache.view().positions(sequence, head)
    }
}
