//! Attention on a GPU: packed words go straight into the kernel.
//!
//! The tokens of a page are divided among workgroups (a KV split, as in FlashDecoding), and the
//! query rows of one key-value head into blocks. A workgroup reads its split of packed keys and
//! values once for all its rows and writes a weighted sum, a maximum and a sum of weights; a second
//! kernel merges the splits of a row. So decode fills the device however few heads there are, and
//! no score and no unpacked value goes to memory.
//!
//! With matrix units in the [`Context`](crate::Context) another program reads the cache: tiles of
//! it become f16 in workgroup memory, and matrix units multiply them.
//!
//! Sides that the kernel can't read as they are packed, per-channel ones among them, are unpacked a
//! tile at a time, into a buffer that fits the device's cache, and read from there.

mod halves;
mod matrix;
mod reader;
mod side;
mod tiles;
mod vectors;

use burn::Tensor;
use burn::backend::Wgpu;
use burn::tensor::{DType, Shape};
use burn_wgpu::{CubeTensor, into_contiguous};

use super::PartialAttention;
use crate::paged::{MAX_BUFFER, PAGE_TOKENS, Page, Rows, Store};
use crate::tokens::Queries;
use crate::wgsl::constants;

pub(crate) use reader::Reader;
pub use reader::sources;

/// Workgroups that keep any device busy; beyond that, splits get longer.
const ENOUGH_GROUPS: usize = 2048;

/// Bytes of a tile of unpacked keys, and again of values.
const TILE_BYTES: usize = 4 << 20;

/// See [`PackedCache::attend`](crate::PackedCache::attend).
pub(crate) fn attend(queries: &Queries, cache: &Store, reader: &Reader) -> PartialAttention {
    let [b, hq, s, d] = queries.queries.dims();
    let heads = b * cache.keys.shape.heads;
    let rows = b * hq / heads * s;
    let plan = reader.plan(rows);
    let row_blocks = rows.div_ceil(plan.rows);
    let last = queries.visible.iter().map(|range| range.end).max().unwrap_or(0).min(cache.tokens);
    let shortest = 4 * plan.step;
    let split = (last * heads * row_blocks / ENOUGH_GROUPS).next_multiple_of(shortest);
    let split = split.max(shortest);
    let tile = if reader.packed { usize::MAX } else { tile_tokens(heads, d) };
    let slices = slices(&cache.keys.pages, last, tile);
    let parts: usize = slices.iter().map(|slice| slice.tokens.div_ceil(split)).sum();
    if s > 1 && heads * parts * rows * d * size_of::<f32>() > MAX_BUFFER {
        let [first, second] = halves(queries).map(|half| attend(&half, cache, reader));
        return PartialAttention {
            output: Tensor::cat(vec![first.output, second.output], 2),
            log_sum_exp: Tensor::cat(vec![first.log_sum_exp, second.log_sum_exp], 2),
        };
    }
    let q = queries.queries.clone().try_into_primitive::<Wgpu>();
    let q = into_contiguous(q.expect("queries live where the cache does"));
    let empty = |shape: &[usize]| {
        let shape = Shape::from(shape.to_vec());
        let bytes = shape.num_elements().max(1) * size_of::<f32>();
        let handle = q.client.empty(bytes);
        CubeTensor::new_contiguous(q.client.clone(), q.device.clone(), shape, handle, DType::F32)
    };
    let sums = empty(&[heads, parts.max(1), rows, d]);
    let states = empty(&[heads, parts.max(1), rows, 2]);
    let mut first_part = 0;
    for slice in &slices {
        let keys = Planes::of(&cache.keys, slice, reader.packed);
        let values = Planes::of(&cache.values, slice, reader.packed);
        let count = slice.tokens.div_ceil(split);
        let numbers = [slice.first, slice.tokens, split, first_part, parts].map(|n| n as u32);
        let mut info = numbers.to_vec();
        info.extend([queries.scale.to_bits(), s as u32, rows as u32, keys.capacity as u32]);
        info.push(queries.soft_cap.unwrap_or(0.0).to_bits());
        info.extend(queries.visible.iter().flat_map(|r| [r.start as u32, r.end as u32]));
        plan.program.submit(
            &[&q, &keys.codes, &keys.scales, &values.codes, &values.scales, &sums, &states],
            &info,
            [count as u32, row_blocks as u32, heads as u32],
        );
        first_part += count;
    }
    let output = empty(&[b, hq, s, d]);
    let log_sum_exps = empty(&[b, hq, s, 1]);
    reader.merge.submit(
        &[&sums, &states, &output, &log_sum_exps],
        &[parts as u32, rows as u32],
        [rows as u32, heads as u32, 1],
    );
    PartialAttention {
        output: Tensor::from_primitive::<Wgpu>(output),
        log_sum_exp: Tensor::from_primitive::<Wgpu>(log_sum_exps),
    }
}

/// Tokens of a tile, whole pages of them.
fn tile_tokens(heads: usize, head_dim: usize) -> usize {
    let token = heads * head_dim * size_of::<f32>();
    (TILE_BYTES / token / PAGE_TOKENS * PAGE_TOKENS).max(PAGE_TOKENS)
}

/// What the kernel reads at a time: tokens of one page.
struct Slice {
    page: usize,
    /// The first token.
    first: usize,
    /// Tokens that are held, and that the page has room for.
    tokens: usize,
    room: usize,
}

/// The pages with tokens below `last`, in slices of at most `tile` tokens.
fn slices(pages: &[Page], last: usize, tile: usize) -> Vec<Slice> {
    let mut first = 0;
    let mut slices = Vec::new();
    for (index, page) in pages.iter().enumerate() {
        let read = last.saturating_sub(first).min(page.tokens);
        for at in (0..read).step_by(tile) {
            let (tokens, room) = (tile.min(read - at), tile.min(page.tokens - at));
            slices.push(Slice { page: index, first: first + at, tokens, room });
        }
        first += page.tokens;
    }
    slices
}

/// One side of a slice, as the kernel binds it.
struct Planes {
    codes: CubeTensor,
    scales: CubeTensor,
    /// Tokens from one head to the next.
    capacity: usize,
}

impl Planes {
    fn of(side: &Rows, slice: &Slice, packed: bool) -> Self {
        let page = &side.pages[slice.page];
        let scales = page.scales.clone().try_into_primitive::<Wgpu>();
        let scales = scales.expect("pages live on this device");
        if packed {
            let codes = page.codes.clone().try_into_primitive::<Wgpu>();
            let codes = codes.expect("pages live on this device");
            return Self { codes, scales, capacity: page.tokens };
        }
        // Values are their own codes in f32, which has no scales: any buffer stands in for them.
        let tile = side.read(slice.first, slice.room).try_into_primitive::<Wgpu>();
        let codes = into_contiguous(tile.expect("pages live on this device"));
        Self { codes, scales, capacity: slice.room }
    }
}

/// The first and the second half of some queries.
fn halves(queries: &Queries) -> [Queries; 2] {
    let s = queries.visible.len();
    [0..s / 2, s / 2..s].map(|range| Queries {
        queries: queries.queries.clone().narrow(2, range.start, range.len()),
        visible: queries.visible[range].to_vec(),
        ..*queries
    })
}

/// The program that merges the answers of the splits.
fn merge(head_dim: usize) -> String {
    constants(&[("GROUP", vectors::GROUP), ("HEAD_DIM", head_dim)]) + include_str!("merge.wgsl")
}
