//! A cache whose key-value heads are kept by several caches, each with some neighbouring heads.

use std::ops::Range;

use burn::Tensor;

use crate::{
    Append, CacheView, Footprint, KvCachePolicy, LayerCache, LayerGeometry, PolicyError, Queries,
    Tile,
};

/// Caches of neighbouring key-value heads of one layer.
pub(crate) struct ByHead {
    parts: Vec<Part>,
    /// `G`: query heads that share one key-value head.
    group: usize,
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
        let group = layer.query_heads / layer.kv_heads;
        let mut start = 0;
        let parts = runs.map(|(policy, count)| {
            let part =
                LayerGeometry { query_heads: group * count, kv_heads: count, ..layer.clone() };
            let heads = start..start + count;
            start += count;
            Ok(Part { cache: policy.layer(&part)?, heads })
        });
        let parts = parts.collect::<Result<_, PolicyError>>()?;
        Ok(Box::new(Self { parts, group }))
    }
}

/// Heads `range` of `[B, H, S, D]`.
fn heads(tensor: &Tensor<4>, range: &Range<usize>) -> Tensor<4> {
    tensor.clone().narrow(1, range.start, range.len())
}

impl LayerCache for ByHead {
    fn append(&mut self, new: Append) -> Result<(), PolicyError> {
        let wanted = self.parts.last().map_or(0, |part| part.heads.end);
        for (what, tensor) in [("keys", &new.keys), ("values", &new.values)] {
            let [_, got, ..] = tensor.dims();
            if got != wanted {
                return Err(PolicyError::Shape {
                    what,
                    expected: format!("{wanted} key-value heads"),
                    got: got.to_string(),
                });
            }
        }
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

    fn attend(&self, queries: Queries) -> Result<Tensor<4>, PolicyError> {
        let outputs = self.parts.iter().map(|Part { cache, heads: kv }| {
            let range = kv.start * self.group..kv.end * self.group;
            cache.attend(Queries { queries: heads(&queries.queries, &range), ..queries })
        });
        Ok(Tensor::cat(outputs.collect::<Result<_, _>>()?, 1))
    }
}

impl CacheView for ByHead {
    fn tokens(&self) -> usize {
        self.parts[0].cache.view().tokens()
    }

    fn tiles(&self) -> usize {
        self.parts[0].cache.view().tiles()
    }

    fn tile_positions(&self, index: usize) -> Range<usize> {
        self.parts[0].cache.view().tile_positions(index)
    }

    fn tile(&self, index: usize) -> Result<Tile, PolicyError> {
        let tiles = self.parts.iter().map(|part| part.cache.view().tile(index));
        let tiles = tiles.collect::<Result<Vec<Tile>, _>>()?;
        let positions = tiles[0].positions.clone();
        if let Some(other) = tiles.iter().find(|tile| tile.positions != positions) {
            return Err(PolicyError::Shape {
                what: "tile",
                expected: format!("the same tokens {positions:?} of every head"),
                got: format!("{:?}", other.positions),
            });
        }
        let (keys, values) = tiles.into_iter().map(|tile| (tile.keys, tile.values)).unzip();
        Ok(Tile { keys: Tensor::cat(keys, 1), values: Tensor::cat(values, 1), positions })
    }
}
