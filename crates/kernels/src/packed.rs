//! The packed cache of a layer: a paged store, and attention that reads it as it is packed.

use crate::attention::{self, PartialAttention, wgpu::Reader};
use crate::device::{Context, is_cpu};
use crate::error::KernelError;
use crate::footprint::Footprint;
use crate::geometry::LayerGeometry;
use crate::paged::{Side, Store};
use crate::tokens::{Append, Queries};
use crate::view::CacheView;

/// A cache that stores keys in one format and values in another.
#[derive(Debug)]
pub struct PackedCache {
    store: Store,
    /// How a GPU reads both sides; `None` on the CPU, which reads every pair as it is packed.
    reader: Option<Reader>,
}

impl PackedCache {
    /// An empty cache; it allocates with the first token.
    ///
    /// # Errors
    /// When a format's block does not divide head_dim, or the format can't run on the device.
    pub fn new(
        geometry: &LayerGeometry,
        context: &Context,
        keys: Side,
        values: Side,
    ) -> Result<Self, KernelError> {
        let names = [&keys, &values].map(|side| side.format.name().to_owned());
        let reader = match is_cpu(&context.device) {
            true => None,
            false => Some(
                Reader::new(&keys, &values, geometry.head_dim, context)
                    .map_err(|problem| KernelError::Shader { format: names.join(":"), problem })?,
            ),
        };
        Ok(Self { store: Store::new(geometry, context, keys, values)?, reader })
    }

    /// What the cache was made for.
    pub fn geometry(&self) -> &LayerGeometry {
        &self.store.geometry
    }

    /// Stores new tokens without attention. On `Err` nothing has changed.
    ///
    /// # Errors
    /// When shapes or the position do not fit.
    pub fn append(&mut self, new: Append) -> Result<(), KernelError> {
        self.store.append(new)
    }

    /// Softmax attention of `queries` over what is held.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn attend(&self, queries: &Queries) -> Result<PartialAttention, KernelError> {
        let g = &self.store.geometry;
        g.check("queries", &queries.queries, g.query_heads, queries.visible.len())?;
        Ok(match &self.reader {
            None => attention::cpu::attend(queries, &self.store),
            Some(reader) => attention::wgpu::attend(queries, &self.store, reader),
        })
    }

    /// Whether attention reads both sides as they are packed, rather than tile by tile.
    pub fn fused(&self) -> bool {
        self.reader.as_ref().is_none_or(|reader| reader.packed)
    }

    /// The cache as a view: tile by tile, a page each.
    pub fn view(&self) -> &dyn CacheView {
        &self.store
    }

    /// Bytes of live buffers.
    pub fn footprint(&self) -> Footprint {
        self.store.footprint()
    }

    /// Drops every token and frees the memory.
    pub fn reset(&mut self) {
        self.store.reset();
    }

    /// Keeps the tokens at the indices `kept`, which ascend, of every sequence and head, and drops
    /// the others. Packed rows are copied, not encoded again.
    ///
    /// # Errors
    /// When a side is per channel, or an index is not one of a token held.
    pub fn keep(&mut self, kept: &[usize]) -> Result<(), KernelError> {
        self.store.keep(kept)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use burn::Tensor;
    use burn::backend::Flex;
    use burn::tensor::Device;

    use super::*;
    use crate::Context;
    use crate::formats::{Q4_0, Q8_0};
    use crate::paged::Rows;

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
            window: None,
        };
        let context = Context::new(&device);
        let sides = (Side::per_token(Arc::new(Q8_0)), Side::per_token(Arc::new(Q4_0)));
        let mut cache = PackedCache::new(&geometry, &context, sides.0, sides.1).expect("a cache");
        let mut seen: Vec<*const u8> = Vec::new();
        for position in 0..600 {
            let row = || Tensor::<4>::ones([1, 2, 1, 64], &device);
            cache.append(Append { keys: row(), values: row(), position }).expect("a row that fits");
            let now = [addresses(&cache.store.keys), addresses(&cache.store.values)].concat();
            if now.len() == seen.len() {
                assert_eq!(now, seen, "a page moved at token {position}");
            }
            seen = now;
        }
        assert_eq!(seen.len(), 6);
    }
}
