//! The packed cache: pages of 256 tokens, keys and values each in a format of their own.
//!
//! Pages are never moved or rewritten: a full page stays where it is, and the next one is
//! allocated beside it. So appending costs the same however much is held, at most 255 tokens of
//! room are spare, and no copy of the cache exists at any time.

use std::ops::Range;
use std::sync::Arc;

use burn::Tensor;
use burn::backend::Dispatch;
use burn::tensor::{DType, Device, Int};

use crate::kernels::{self, CacheOps, PageShape, attend};
use crate::{
    Append, CacheView, Footprint, Format, LayerCache, LayerGeometry, PolicyError, Queries, Tile,
};

/// Tokens in one page: the step in which memory grows, as in llama.cpp.
pub const PAGE_TOKENS: usize = 256;

/// The most values of one row, so that kernels can hold a row on their stack.
const MAX_HEAD_DIM: usize = 1024;

/// The planes of one page: codes U32 `[B, Hkv, 256, words]`, scales U32 `[B, Hkv, scale words]`.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) codes: Tensor<4, Int>,
    pub(crate) scales: Tensor<3, Int>,
}

/// The keys, or the values, of one layer.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) format: Arc<dyn Format>,
    pub(crate) shape: PageShape,
    pub(crate) pages: Vec<Page>,
}

impl Rows {
    fn new(geometry: &LayerGeometry, format: Arc<dyn Format>) -> Result<Self, PolicyError> {
        let layout = format.layout();
        if !geometry.head_dim.is_multiple_of(layout.values) {
            return Err(PolicyError::BlockSize {
                format: format.name().to_owned(),
                block: layout.values,
                head_dim: geometry.head_dim,
            });
        }
        if geometry.head_dim > MAX_HEAD_DIM {
            return Err(PolicyError::Shape {
                what: "head_dim",
                expected: format!("at most {MAX_HEAD_DIM}"),
                got: geometry.head_dim.to_string(),
            });
        }
        if !kernels::is_cpu(&geometry.device) {
            kernels::validate_shaders(&*format, geometry.head_dim).map_err(|problem| {
                PolicyError::Shader { format: format.name().to_owned(), problem }
            })?;
        }
        let shape = PageShape::new(
            layout,
            geometry.batch,
            geometry.kv_heads,
            PAGE_TOKENS,
            geometry.head_dim,
        );
        Ok(Self { format, shape, pages: Vec::new() })
    }

    fn add_page(&mut self, device: &Device) {
        self.pages.push(Page {
            codes: Tensor::zeros(self.shape.codes(), (device, DType::U32)),
            scales: Tensor::zeros(self.shape.scale_plane(), (device, DType::U32)),
        });
    }

    /// Packs `rows` `[B, Hkv, n, D]` into page `index` from token `at` on.
    fn write(&mut self, index: usize, at: usize, rows: Tensor<4>) {
        // The planes leave the page while the kernel runs, so that they have one owner and are
        // written in place; a second owner would turn this into a copy of the page.
        let Page { codes, scales } = self.pages.remove(index);
        let (codes, scales) = Dispatch::append_quantised(
            rows.into_dispatch(),
            codes.into_dispatch(),
            scales.into_dispatch(),
            at,
            self.shape,
            self.format.clone(),
        );
        let page =
            Page { codes: Tensor::from_dispatch(codes), scales: Tensor::from_dispatch(scales) };
        self.pages.insert(index, page);
    }

    /// Unpacks the first `tokens` tokens of page `index`: `[B, Hkv, tokens, D]`.
    fn read(&self, index: usize, tokens: usize) -> Tensor<4> {
        let page = &self.pages[index];
        Tensor::from_dispatch(Dispatch::dequantise(
            page.codes.clone().into_dispatch(),
            page.scales.clone().into_dispatch(),
            tokens,
            self.shape,
            self.format.clone(),
        ))
    }

    /// Bytes of codes and of scales that one token occupies.
    fn token_bytes(&self) -> (u64, u64) {
        let rows = (self.shape.batch * self.shape.heads) as u64;
        (rows * 4 * self.shape.words as u64, rows * 2 * self.shape.scales as u64)
    }

    fn footprint(&self, tokens: usize) -> Footprint {
        let (codes, scales) = self.token_bytes();
        let allocated = self.pages.iter().map(|page| {
            kernels::buffer_bytes(&page.codes)
                + if self.shape.scales > 0 { kernels::buffer_bytes(&page.scales) } else { 0 }
        });
        Footprint {
            codes: codes * tokens as u64,
            scales: scales * tokens as u64,
            allocated: allocated.sum(),
            ..Footprint::default()
        }
    }
}

/// A cache that stores keys in one format and values in another.
#[derive(Debug)]
pub struct PackedCache {
    geometry: LayerGeometry,
    pub(crate) keys: Rows,
    pub(crate) values: Rows,
    tokens: usize,
}

impl PackedCache {
    /// An empty cache; it allocates with the first token.
    ///
    /// # Errors
    /// When a format's block does not divide head_dim, or the format can't run on the device.
    pub fn new(
        geometry: &LayerGeometry,
        keys: Arc<dyn Format>,
        values: Arc<dyn Format>,
    ) -> Result<Self, PolicyError> {
        Ok(Self {
            keys: Rows::new(geometry, keys)?,
            values: Rows::new(geometry, values)?,
            geometry: geometry.clone(),
            tokens: 0,
        })
    }

    /// The device that the pages live on.
    pub(crate) fn device(&self) -> Device {
        self.geometry.device.clone()
    }

    fn check(
        &self,
        what: &'static str,
        tensor: &Tensor<4>,
        heads: usize,
    ) -> Result<(), PolicyError> {
        let [b, h, s, d] = tensor.dims();
        let g = &self.geometry;
        if [b, h, d] == [g.batch, heads, g.head_dim] && s > 0 {
            return Ok(());
        }
        Err(PolicyError::Shape {
            what,
            expected: format!("[B {}, H {heads}, S > 0, D {}]", g.batch, g.head_dim),
            got: format!("[{b}, {h}, {s}, {d}]"),
        })
    }
}

impl LayerCache for PackedCache {
    fn append(&mut self, new: Append) -> Result<(), PolicyError> {
        self.check("keys", &new.keys, self.geometry.kv_heads)?;
        self.check("values", &new.values, self.geometry.kv_heads)?;
        let fresh = new.keys.dims()[2];
        if new.values.dims()[2] != fresh {
            return Err(PolicyError::Shape {
                what: "values",
                expected: format!("{fresh} tokens, as many as keys"),
                got: new.values.dims()[2].to_string(),
            });
        }
        if new.position != self.tokens {
            return Err(PolicyError::Position { expected: self.tokens, got: new.position });
        }
        let mut done = 0;
        while done < fresh {
            let at = (self.tokens + done) % PAGE_TOKENS;
            let index = (self.tokens + done) / PAGE_TOKENS;
            if index == self.keys.pages.len() {
                self.keys.add_page(&self.geometry.device);
                self.values.add_page(&self.geometry.device);
            }
            let count = (PAGE_TOKENS - at).min(fresh - done);
            self.keys.write(index, at, new.keys.clone().narrow(2, done, count));
            self.values.write(index, at, new.values.clone().narrow(2, done, count));
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

    fn attend(&self, queries: Queries) -> Result<Tensor<4>, PolicyError> {
        self.check("queries", &queries.queries, self.geometry.query_heads)?;
        if kernels::is_cpu(&self.geometry.device) {
            Ok(attend::cpu::attend(queries, self, self.tokens))
        } else {
            attend::reference::attend(queries, self)
        }
    }
}

impl CacheView for PackedCache {
    fn tokens(&self) -> usize {
        self.tokens
    }

    fn tiles(&self) -> usize {
        self.tokens.div_ceil(PAGE_TOKENS)
    }

    fn tile_positions(&self, index: usize) -> Range<usize> {
        index * PAGE_TOKENS..self.tokens.min((index + 1) * PAGE_TOKENS)
    }

    fn tile(&self, index: usize) -> Result<Tile, PolicyError> {
        let positions = self.tile_positions(index);
        Ok(Tile {
            keys: self.keys.read(index, positions.len()),
            values: self.values.read(index, positions.len()),
            positions,
        })
    }
}

#[cfg(test)]
mod tests {
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
            device: device.clone(),
        };
        let registry = Registry::builtin();
        let format = |name| registry.format(name).expect("built in");
        let mut cache =
            PackedCache::new(&geometry, format("q8_0"), format("q4_0")).expect("a cache");
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
