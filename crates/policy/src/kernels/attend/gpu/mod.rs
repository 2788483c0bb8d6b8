//! Attention on a GPU: packed words go straight into the kernel.
//!
//! Every page is cut into stretches of tokens, and query rows of one key-value head into blocks of
//! eight: a workgroup reads its stretch of packed keys and values once for all its rows and leaves a
//! weighted sum, a maximum and a sum of weights. A second kernel joins the stretches of a row. So
//! decode fills the device however few heads there are, no score and no unpacked value goes to
//! memory, and what is written in between does not grow with the number of rows and stretches alike.
//!
//! Where a cache is told of a GPU's matrix units, a second program reads it: tiles of it become f16 in
//! workgroup memory, and matrices multiply them.
//!
//! Sides that the kernel can't read as they are packed, per-channel ones among them, are unpacked a
//! tile at a time, into a buffer that fits the device's cache, and read from there.

mod halves;
mod matrix;
mod text;
mod tiles;

use std::sync::Arc;

use burn::Tensor;
use burn::backend::Wgpu;
use burn::tensor::{DType, Shape};
use burn_wgpu::{CubeTensor, into_contiguous};

pub use self::matrix::MatrixUnits;
use crate::formats::F32;
use crate::kernels::wgsl::{Kernel, Key, check, submit};
use crate::kernels::{MAX_BUFFER, PageShape};
use crate::packed::{Axis, PAGE_TOKENS, PackedCache, Page, Rows, Side};
use crate::{Attended, Format, Queries};

/// Workgroups that keep any device busy; beyond that, stretches get longer.
const ENOUGH_GROUPS: usize = 2048;

/// Bytes of a tile of unpacked keys, and again of values.
const TILE_BYTES: usize = 4 << 20;

/// How attention reads a pair of sides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader {
    /// As they are packed, or tile by tile.
    pub(crate) packed: bool,
    /// On these units; otherwise in f32.
    matrices: Option<MatrixUnits>,
}

impl Reader {
    /// As they are packed, in f32.
    pub(crate) const PACKED: Self = Self { packed: true, matrices: None };

    /// The reader of a pair of sides, on `matrices` if these can read both.
    ///
    /// # Errors
    /// What the compiler says of a program that should compile.
    pub(crate) fn new(
        keys: &Side,
        values: &Side,
        head_dim: usize,
        matrices: Option<MatrixUnits>,
    ) -> Result<Self, String> {
        if !head_dim.is_multiple_of(8) {
            return Err(format!(
                "a GPU reads eight channels at a time, which do not divide {head_dim}"
            ));
        }
        let reads = |side: &Side| side.axis == Axis::Token && side.format.packing().is_some();
        let packed = reads(keys) && reads(values);
        let [keys, values]: [&dyn Format; 2] = match packed {
            true => [&*keys.format, &*values.format],
            false => [&F32, &F32],
        };
        // f32 that is asked for stays f32.
        let narrow = |format: &dyn Format| format.layout().bits_per_value() < 32.0;
        let matrices = matrices.filter(|_| packed && narrow(keys) && narrow(values));
        // The runtime only logs what does not compile, and its output reads as zeros.
        let mut checked = Vec::new();
        for rows in [1, 8, 64] {
            let program = program(matrices, rows, head_dim);
            let plan = (program.kernel(), program.rows());
            if checked.contains(&plan) {
                continue;
            }
            checked.push(plan);
            if !program.fits() {
                return Err(format!(
                    "head_dim {head_dim} needs more workgroup memory than GPUs promise"
                ));
            }
            program.text(keys, values, head_dim).iter().try_for_each(|source| check(source))?;
        }
        check(&text::merge(head_dim))?;
        Ok(Self { packed, matrices })
    }
}

/// A program that reads a stretch, and how its workgroups are cut.
trait Program: Send + Sync {
    fn kernel(&self) -> Kernel;

    /// Query rows of a workgroup.
    fn rows(&self) -> usize;

    /// Tokens that a workgroup takes at a time: stretches are multiples of it.
    fn step(&self) -> usize;

    /// Invocations of a workgroup.
    fn group(&self) -> usize;

    /// Whether every adapter that may run it has the workgroup memory.
    fn fits(&self) -> bool {
        true
    }

    /// Its WGSL; `None` where a format has none or does not say how it packs.
    fn text(&self, keys: &dyn Format, values: &dyn Format, head_dim: usize) -> Option<String>;
}

/// The program for so many query rows of a key-value head.
fn program(matrices: Option<MatrixUnits>, rows: usize, head_dim: usize) -> Arc<dyn Program> {
    if let Some(plan) = matrices.and_then(|units| matrix::Plan::new(units, rows, head_dim)) {
        return Arc::new(plan);
    }
    match tiles::Plan::new(rows, head_dim) {
        Some(plan) => Arc::new(plan),
        None => Arc::new(text::Plan::new(rows, head_dim)),
    }
}

/// The WGSL of both kernels for a pair of formats and a number of query rows of a key-value head, as
/// tests validate it.
pub fn sources(
    keys: &dyn Format,
    values: &dyn Format,
    rows: usize,
    head_dim: usize,
    matrices: Option<MatrixUnits>,
) -> [String; 2] {
    let partial = program(matrices, rows, head_dim).text(keys, values, head_dim);
    [partial.unwrap_or_default(), text::merge(head_dim)]
}

/// See [`LayerCache::attend`](crate::LayerCache::attend); `tokens` is what the cache holds.
pub(crate) fn attend(
    queries: &Queries,
    cache: &PackedCache,
    tokens: usize,
    reader: Reader,
) -> Attended {
    let [b, hq, s, d] = queries.queries.dims();
    let heads = b * cache.keys.shape.heads;
    let rows = b * hq / heads * s;
    let program = program(reader.matrices, rows, d);
    let row_blocks = rows.div_ceil(program.rows());
    let last = queries.visible.iter().map(|range| range.end).max().unwrap_or(0).min(tokens);
    let shortest = 4 * program.step();
    let stretch = (last * heads * row_blocks / ENOUGH_GROUPS).next_multiple_of(shortest);
    let stretch = stretch.max(shortest);
    let tile = if reader.packed { usize::MAX } else { tile_tokens(heads, d) };
    let slices = slices(&cache.keys.pages, last, tile);
    let parts: usize = slices.iter().map(|slice| slice.tokens.div_ceil(stretch)).sum();
    if s > 1 && heads * parts * rows * d * size_of::<f32>() > MAX_BUFFER {
        let [first, second] = halves(queries).map(|half| attend(&half, cache, tokens, reader));
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
    for slice in &slices {
        let keys = Planes::of(&cache.keys, slice, reader.packed);
        let values = Planes::of(&cache.values, slice, reader.packed);
        let count = slice.tokens.div_ceil(stretch);
        let numbers = [slice.first, slice.tokens, stretch, first_part, parts].map(|n| n as u32);
        let mut info = numbers.to_vec();
        info.extend([queries.scale.to_bits(), s as u32, rows as u32, keys.capacity as u32]);
        info.extend(queries.visible.iter().flat_map(|r| [r.start as u32, r.end as u32]));
        let formats = [keys.format, values.format];
        let name = format!("{} {} {}", formats[0].name(), formats[1].name(), program.rows());
        let source = program.clone();
        let text = move || {
            let [keys, values] = &formats;
            source.text(&**keys, &**values, d).unwrap_or_default()
        };
        submit(
            Key { kernel: program.kernel(), formats: name, page: page(d) },
            text,
            &[&q, &keys.codes, &keys.scales, &values.codes, &values.scales, &sums, &states],
            &info,
            ([count as u32, row_blocks as u32, heads as u32], program.group() as u32),
        );
        first_part += count;
    }
    let output = empty(&[b, hq, s, d]);
    let log_sums = empty(&[b, hq, s, 1]);
    submit(
        Key { kernel: Kernel::Merge, formats: String::new(), page: page(d) },
        move || text::merge(d),
        &[&sums, &states, &output, &log_sums],
        &[parts as u32, rows as u32],
        ([rows as u32, heads as u32, 1], text::GROUP as u32),
    );
    Attended {
        output: Tensor::from_primitive::<Wgpu>(output),
        log_sum: Tensor::from_primitive::<Wgpu>(log_sums),
    }
}

/// What a program depends on of a page's shape: head_dim alone.
fn page(head_dim: usize) -> PageShape {
    PageShape::new(F32.layout(), 1, 1, PAGE_TOKENS, head_dim)
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
    format: Arc<dyn Format>,
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
            return Self { codes, scales, format: side.side.format.clone(), capacity: page.tokens };
        }
        // Values are their own codes in f32, which has no scales: any buffer stands in for them.
        let tile = side.read(slice.first, slice.room).try_into_primitive::<Wgpu>();
        let codes = into_contiguous(tile.expect("pages live on this device"));
        Self { codes, scales, format: Arc::new(F32), capacity: slice.room }
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
