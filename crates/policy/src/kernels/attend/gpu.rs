//! Attention on a GPU: packed words go straight into the kernel.
//!
//! Every page is cut into stretches of tokens, and query rows of one key-value head into blocks of
//! eight: a workgroup reads its stretch of packed keys and values once for all its rows and leaves a
//! weighted sum, a maximum and a sum of weights. A second kernel joins the stretches of a row. So
//! decode fills the device however few heads there are, no score and no unpacked value goes to
//! memory, and what is written in between does not grow with the number of rows and stretches alike.

use burn::Tensor;
use burn::backend::Wgpu;
use burn::tensor::{DType, Shape};
use burn_wgpu::{CubeTensor, into_contiguous};

use crate::kernels::wgsl::{Kernel, Key, check, prefixed, submit, unroll};
use crate::kernels::{MAX_BUFFER, PageShape};
use crate::packed::{Axis, PackedCache, Page, Side};
use crate::{Attended, BlockLayout, Format, Queries};

/// Invocations of a workgroup.
const GROUP: usize = 128;

/// Tokens whose scores exist at a time in a workgroup.
const TILE: usize = 128;

/// Workgroup memory that every WebGPU adapter has. Larger tiles were not faster where there is more:
/// fewer workgroups then run side by side.
const SHARED: usize = 16 << 10;

/// Workgroups that keep any device busy; beyond that, stretches get longer.
const ENOUGH_GROUPS: usize = 4096;

/// Whether the kernels serve a pair of sides; per-channel ones, and formats without WGSL, go the
/// plain way, decoded tile by tile.
///
/// # Errors
/// What the compiler says of a pair that should compile.
pub(crate) fn serves(keys: &Side, values: &Side, head_dim: usize) -> Result<bool, String> {
    let fit = |side: &Side| {
        side.axis == Axis::Token && read_text(&*side.format, "key", 1, head_dim).is_some()
    };
    if !fit(keys) || !fit(values) || head_dim > 256 {
        return Ok(false);
    }
    // The runtime only logs what does not compile, and its output reads as zeros.
    sources(&*keys.format, &*values.format, head_dim).iter().try_for_each(|s| check(s))?;
    Ok(true)
}

/// Rows of one workgroup: as many as there are, in fours, up to what workgroup memory holds.
fn rows_of_group(rows: usize, head_dim: usize) -> usize {
    if rows > 4 && head_dim <= 128 { 8 } else { 4 }
}

/// Tokens whose values are decoded at a time: a power of two, so that they fill tiles of scores.
fn value_tile(rows: usize, head_dim: usize) -> usize {
    let used = 4 * rows * head_dim + 4 * rows * TILE + 4 * GROUP + 12 * rows;
    let room = SHARED.saturating_sub(used) * 8 / 9 / (4 * head_dim);
    (1 << room.max(1).ilog2()).min(TILE)
}

/// The WGSL of both kernels for a pair of formats, as tests validate it.
pub fn sources(keys: &dyn Format, values: &dyn Format, head_dim: usize) -> [String; 2] {
    let page = PageShape::new(keys.layout(), 1, 2, 256, head_dim);
    let rows = rows_of_group(8, head_dim);
    let partial = partial_text(keys, values, page, rows);
    [partial.unwrap_or_default(), merge_text(head_dim)]
}

fn constants(list: &[(&str, usize)]) -> String {
    list.iter().map(|(name, value)| format!("const {name}: u32 = {value}u;\n")).collect()
}

fn partial_text(
    keys: &dyn Format,
    values: &dyn Format,
    page: PageShape,
    rows: usize,
) -> Option<String> {
    let d = page.head_dim;
    let mut text = constants(&[
        ("GROUP", GROUP),
        ("R", rows),
        ("HEAD_DIM", d),
        ("CAPACITY", page.capacity),
        ("TILE", TILE),
        ("VALUE_TILE", value_tile(rows, d)),
    ]);
    text.push_str(include_str!("../prelude.wgsl"));
    text.push_str(&read_text(keys, "key", 1, d)?);
    text.push_str(&read_text(values, "value", 3, d)?);
    text.push_str(Kernel::Attend.body());
    Some(unroll(&text))
}

/// Values that one call decodes, at most: enough that loads are wide, few enough for registers.
const READ: usize = 32;

/// Bindings of one side, its format's functions under a prefix, and `<side>_read(row, at, x)`, which
/// decodes `<SIDE>_READ` values of a row from value `at` on.
fn read_text(format: &dyn Format, side: &str, binding: usize, d: usize) -> Option<String> {
    let BlockLayout { values, code_words: words, scales } = format.layout();
    // As many blocks at a time as divide the row.
    let blocks = (1..=(READ / values).max(1)).rev().find(|n| (d / values).is_multiple_of(*n))?;
    let (read, row_words, row_scales) = (blocks * values, d / values * words, d / values * scales);
    if !read.is_multiple_of(4) {
        return None;
    }
    let upper = side.to_uppercase();
    let wide = (blocks * words).is_multiple_of(4) && row_words.is_multiple_of(4);
    let element = if wide { "vec4<u32>" } else { "u32" };
    let mut text = constants(&[
        (&format!("{upper}_READ"), read),
        (&format!("{side}_VALUES"), values),
        (&format!("{side}_WORDS"), words),
    ]);
    let scales_binding = binding + 1;
    text += &format!(
        "@group(0) @binding({binding}) var<storage, read_write> {side}_codes: array<{element}>;\n\
         @group(0) @binding({scales_binding}) var<storage, read_write> {side}_scales: array<u32>;\n"
    );
    text += &prefixed(&format.wgsl()?, &format!("{side}_"));
    text += &format!(
        "fn {side}_read(row: u32, at: u32, x: ptr<function, array<f32, {upper}_READ>>) {{\n\
         let first = row * {row_words}u + at / {values}u * {words}u;\n\
         let first_scale = row * {row_scales}u + at / {values}u * {scales}u;\n"
    );
    if wide {
        for load in 0..blocks * words / 4 {
            text += &format!("let load{load} = {side}_codes[first / 4u + {load}u];\n");
        }
    }
    for block in 0..blocks {
        text += &format!(
            "{{ var codes: array<u32, {side}_WORDS>; var scales: array<u32, 2>; var y: array<f32, {side}_VALUES>;\n"
        );
        for word in 0..words {
            let at = block * words + word;
            let value = match wide {
                true => format!("load{}[{}]", at / 4, at % 4),
                false => format!("{side}_codes[first + {at}u]"),
            };
            text += &format!("codes[{word}] = {value};\n");
        }
        for scale in 0..scales {
            let at = block * scales + scale;
            text += &format!(
                "{{ let half = first_scale + {at}u; scales[{scale}] = ({side}_scales[half / 2u] >> (16u * (half % 2u))) & 0xffffu; }}\n"
            );
        }
        text += &format!("{side}_decode_block(&codes, &scales, &y);\n");
        for value in 0..values {
            text += &format!("(*x)[{}] = y[{value}];\n", block * values + value);
        }
        text += "}\n";
    }
    if scales == 0 {
        // A binding that nothing uses would be dropped from the layout.
        text += &format!("if (first == 0xffffffffu) {{ (*x)[0] = f32({side}_scales[0]); }}\n");
    }
    text += "}\n";
    Some(text)
}

fn merge_text(head_dim: usize) -> String {
    constants(&[("GROUP", 64), ("HEAD_DIM", head_dim)]) + Kernel::Merge.body()
}

/// See [`LayerCache::attend`](crate::LayerCache::attend); `tokens` is what the cache holds.
pub(crate) fn attend(queries: &Queries, cache: &PackedCache, tokens: usize) -> Attended {
    let [b, hq, s, d] = queries.queries.dims();
    let heads = b * cache.keys.shape.heads;
    let rows = b * hq / heads * s;
    let group_rows = rows_of_group(rows, d);
    let row_blocks = rows.div_ceil(group_rows);
    let last = queries.visible.iter().map(|range| range.end).max().unwrap_or(0).min(tokens);
    let stretch = (last * heads * row_blocks / ENOUGH_GROUPS).next_multiple_of(TILE).max(TILE);
    let pages = read(&cache.keys.pages, &cache.values.pages, last);
    let parts: usize = pages.iter().map(|page| page.tokens.div_ceil(stretch)).sum();
    if s > 1 && heads * parts * rows * d * size_of::<f32>() > MAX_BUFFER {
        let [first, second] = halves(queries).map(|half| attend(&half, cache, tokens));
        return Attended {
            output: Tensor::cat(vec![first.output, second.output], 2),
            log_sum: Tensor::cat(vec![first.log_sum, second.log_sum], 2),
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
    for ReadPage { keys, values, first, tokens } in &pages {
        let count = tokens.div_ceil(stretch);
        let scale = queries.scale.to_bits();
        let numbers = [*first, *tokens, stretch, first_part, parts].map(|n| n as u32);
        let mut info = numbers.to_vec();
        info.extend([scale, s as u32, rows as u32]);
        info.extend(queries.visible.iter().flat_map(|r| [r.start as u32, r.end as u32]));
        let planes = [&keys.codes, &values.codes].map(|t| t.clone().try_into_primitive::<Wgpu>());
        let halves = [&keys.scales, &values.scales].map(|t| t.clone().try_into_primitive::<Wgpu>());
        let [kc, vc] = planes.map(|plane| plane.expect("pages live on this device"));
        let [ks, vs] = halves.map(|plane| plane.expect("pages live on this device"));
        let formats = [&cache.keys.side.format, &cache.values.side.format].map(Clone::clone);
        let page = PageShape { head_dim: d, ..keys.shape };
        let name = format!("{} {} {group_rows}", formats[0].name(), formats[1].name());
        let text = move || {
            let [keys, values] = &formats;
            partial_text(&**keys, &**values, page, group_rows).unwrap_or_default()
        };
        submit(
            Key { kernel: Kernel::Attend, formats: name, page },
            text,
            &[&q, &kc, &ks, &vc, &vs, &sums, &states],
            &info,
            ([count as u32, row_blocks as u32, heads as u32], GROUP as u32),
        );
        first_part += count;
    }
    let output = empty(&[b, hq, s, d]);
    let log_sums = empty(&[b, hq, s, 1]);
    submit(
        Key { kernel: Kernel::Merge, formats: String::new(), page: cache.keys.shape },
        move || merge_text(d),
        &[&sums, &states, &output, &log_sums],
        &[parts as u32, rows as u32],
        ([rows as u32, heads as u32, 1], 64),
    );
    Attended {
        output: Tensor::from_primitive::<Wgpu>(output),
        log_sum: Tensor::from_primitive::<Wgpu>(log_sums),
    }
}

/// The first and the second half of some queries.
fn halves(queries: &Queries) -> [Queries; 2] {
    let s = queries.visible.len();
    [0..s / 2, s / 2..s].map(|range| Queries {
        queries: queries.queries.clone().narrow(2, range.start, range.len()),
        visible: queries.visible[range].to_vec(),
        scale: queries.scale,
    })
}

/// A page and what of it is read.
struct ReadPage<'a> {
    keys: &'a Page,
    values: &'a Page,
    first: usize,
    tokens: usize,
}

/// The pages with tokens below `last`.
fn read<'a>(keys: &'a [Page], values: &'a [Page], last: usize) -> Vec<ReadPage<'a>> {
    let mut first = 0;
    let pages = keys.iter().zip(values).map(|(keys, values)| {
        let start = first;
        first += keys.tokens;
        ReadPage { keys, values, first: start, tokens: last.saturating_sub(start).min(keys.tokens) }
    });
    pages.filter(|page| page.tokens > 0).collect()
}
