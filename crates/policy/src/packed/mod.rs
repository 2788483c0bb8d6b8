//! The packed cache: pages of 256 tokens, keys and values each in a format of their own.
//!
//! A full page stays where it is, and the next one is allocated beside it. So appending costs the
//! same however much is held, at most 255 tokens of room are spare, and no copy of the cache exists
//! at any time. On GPUs, where every page costs attention a launch, two full pages of one size are
//! joined: a token is copied, packed as it is, at most six times in its life.

mod rows;

use std::ops::Range;

use burn::tensor::Device;

use crate::kernels::attend::gpu::Reader;
use crate::kernels::{self, attend};
use crate::{
    Append, Attended, CacheView, Footprint, LayerCache, LayerGeometry, PolicyError, Queries, Tile,
};

pub use rows::{Axis, Side};
pub(crate) use rows::{Page, Rows};

/// Tokens in one page: the step in which memory grows, as in llama.cpp.
pub const PAGE_TOKENS: usize = 256;

/// A cache that stores keys in one format and values in another.
#[derive(Debug)]
pub struct PackedCache {
    geometry: LayerGeometry,
    pub(crate) keys: Rows,
    pub(crate) values: Rows,
    tokens: usize,
    /// How attention reads both sides: as they are packed on the CPU, and on a GPU if the kernel knows both.
    reader: Reader,
}

impl PackedCache {
    /// An empty cache; it allocates with the first token.
    ///
    /// # Errors
    /// When a format's block does not divide head_dim, or the format can't run on the device.
    pub fn new(geometry: &LayerGeometry, keys: Side, values: Side) -> Result<Self, PolicyError> {
        let (keys, values) = (Rows::new(geometry, keys)?, Rows::new(geometry, values)?);
        let reader = match kernels::is_cpu(&geometry.device) {
            true => Reader::PACKED,
            false => Reader::new(&keys.side, &values.side, geometry.head_dim, geometry.matrices)
                .map_err(|problem| {
                    let names = [&keys, &values].map(|rows| rows.side.format.name());
                    PolicyError::Shader { format: names.join(":"), problem }
                })?,
        };
        Ok(Self { keys, values, geometry: geometry.clone(), tokens: 0, reader })
    }

    /// The device that the pages live on.
    pub(crate) fn device(&self) -> Device {
        self.geometry.device.clone()
    }

    /// Both sides, keys first.
    fn sides(&mut self) -> [&mut Rows; 2] {
        [&mut self.keys, &mut self.values]
    }

    /// Tokens must be appended in multiples of this: 1, or a block of a per-channel side.
    fn group(&self) -> usize {
        self.keys.side.group().max(self.values.side.group())
    }
}

impl LayerCache for PackedCache {
    fn geometry(&self) -> &LayerGeometry {
        &self.geometry
    }

    fn append(&mut self, new: Append) -> Result<(), PolicyError> {
        new.check(&self.geometry)?;
        let fresh = new.tokens();
        if new.position != self.tokens {
            return Err(PolicyError::Position { expected: self.tokens, got: new.position });
        }
        if !fresh.is_multiple_of(self.group()) {
            return Err(PolicyError::Unsupported {
                what: format!(
                    "{fresh} tokens appended to a per-channel cache, which packs {} at a time",
                    self.group()
                ),
                mend: "put a window around it that holds a block in full precision".to_owned(),
            });
        }
        let mut done = 0;
        while done < fresh {
            let held = self.tokens + done;
            let (index, at) = self.keys.find(held);
            let room = self.keys.pages.get(index).map_or(PAGE_TOKENS, |page| page.tokens - at);
            let count = room.min(fresh - done);
            let device = self.device();
            let merges = !kernels::is_cpu(&device);
            let part = new.part(done..done + count, 0);
            for (rows, new) in self.sides().into_iter().zip([part.keys, part.values]) {
                if index == rows.pages.len() {
                    rows.add_page(&device);
                }
                rows.write(index, at, new);
                if merges {
                    rows.merge(held + count);
                }
            }
            done += count;
        }
        self.tokens += fresh;
        Ok(())
    }

    fn view(&self) -> &dyn CacheView {
        self
    }

    fn footprint(&self) -> Footprint {
        self.keys.footprint(self.tokens) + self.values.footprint(self.tokens)
    }

    fn reset(&mut self) {
        self.keys.pages.clear();
        self.values.pages.clear();
        self.tokens = 0;
    }

    fn attend(&self, queries: &Queries) -> Result<Attended, PolicyError> {
        let g = &self.geometry;
        g.check("queries", &queries.queries, g.query_heads, queries.visible.len())?;
        if kernels::is_cpu(&g.device) {
            Ok(attend::cpu::attend(queries, self, self.tokens))
        } else {
            Ok(attend::gpu::attend(queries, self, self.tokens, self.reader))
        }
    }

    fn fused(&self) -> bool {
        self.reader.packed
    }

    fn keep(&mut self, kept: &[usize]) -> Result<(), PolicyError> {
        if self.group() > 1 {
            return Err(PolicyError::Unsupported {
                what: "a per-channel cache packs groups of tokens and can't forget single ones"
                    .to_owned(),
                mend: "evict from a policy of per-token formats, such as k8v4".to_owned(),
            });
        }
        if !kept.is_sorted_by(|a, b| a < b) || kept.last().is_some_and(|last| *last >= self.tokens)
        {
            return Err(PolicyError::Shape {
                what: "tokens to keep",
                expected: format!("ascending indices below {}", self.tokens),
                got: format!("{kept:?}"),
            });
        }
        // Pages before the first gap stay as they are.
        let same = kept.iter().enumerate().take_while(|(i, token)| i == *token).count();
        if same == self.tokens {
            return Ok(());
        }
        let (first, row) = self.keys.find(same);
        let untouched = same - row;
        let device = self.device();
        for rows in self.sides() {
            let sources: Vec<_> = kept[untouched..].iter().map(|token| rows.find(*token)).collect();
            let old = rows.pages.split_off(first);
            let mut at = untouched;
            for run in sources.chunk_by(|a, b| a.0 == b.0) {
                let mut run = run;
                while !run.is_empty() {
                    let (index, row) = rows.find(at);
                    if index == rows.pages.len() {
                        rows.add_page(&device);
                    }
                    let room = rows.pages[index].tokens - row;
                    let (now, later) = run.split_at(run.len().min(room));
                    let from = now.iter().map(|(_, token)| *token as u32).collect();
                    rows.gather(&old[now[0].0 - first], from, index, row);
                    at += now.len();
                    run = later;
                }
            }
        }
        self.tokens = kept.len();
        Ok(())
    }
}

impl CacheView for PackedCache {
    fn tokens(&self) -> usize {
        self.tokens
    }

    fn tiles(&self) -> usize {
        self.tokens.div_ceil(PAGE_TOKENS)
    }

    fn tile_tokens(&self, index: usize) -> Range<usize> {
        index * PAGE_TOKENS..self.tokens.min((index + 1) * PAGE_TOKENS)
    }

    fn tile(&self, index: usize) -> Result<Tile, PolicyError> {
        let tokens = self.tile_tokens(index);
        Ok(Tile {
            keys: self.keys.read(tokens.start, tokens.len()),
            values: self.values.read(tokens.start, tokens.len()),
            tokens,
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::Tensor;
    use burn::backend::Flex;

    use super::*;
    use crate::Registry;

    /// Where the planes of all pages lie in memory.
    fn addresses(rows: &Rows) -> Vec<*const u8> {
        let codes = rows.pages.iter().map(|page| page.codes.clone());
        codes
            .map(|codes| codes.try_into_primitive::<Flex>().expect("a CPU tensor").bytes().as_ptr())
            .collect()
    }

    #[test]
    fn tokens_are_written_in_place_and_pages_never_move() {
        let device = Device::flex();
        let geometry = LayerGeometry {
            layer: 0,
            layers: 1,
            batch: 1,
            query_heads: 2,
            kv_heads: 2,
            head_dim: 64,
            rope: None,
            device: device.clone(),
            matrices: None,
        };
        let registry = Registry::builtin();
        let side = |name| Side::per_token(registry.format(name).expect("built in"));
        let mut cache = PackedCache::new(&geometry, side("q8_0"), side("q4_0")).expect("a cache");
        let mut seen: Vec<*const u8> = Vec::new();
        for position in 0..600 {
            let row = || Tensor::<4>::ones([1, 2, 1, 64], &device);
            cache.append(Append { keys: row(), values: row(), position }).expect("a row that fits");
            let now = [addresses(&cache.keys), addresses(&cache.values)].concat();
            if now.len() == seen.len() {
                assert_eq!(now, seen, "a page moved at token {position}");
            }
            seen = now;
        }
        assert_eq!(seen.len(), 6);
    }
}
