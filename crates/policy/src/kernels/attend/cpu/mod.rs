//! Attention on the CPU: packed pages are decoded one at a time into a buffer that fits the caches.
//!
//! Work is cut into tasks by sequence and key-value head, so that every page is decoded once for
//! all the query heads that share it. Where there are fewer heads than threads, many queries are
//! cut by rows, and few queries (decode) by pages, whose partial results are merged.

use std::ops::Range;

use burn::Tensor;
use burn::backend::Flex;
use burn::tensor::TensorData;
use burn_flex::FlexTensor;
use half::f16;
use rayon::prelude::*;

use super::{few, softmax};
use crate::kernels::PageShape;
use crate::kernels::simd::exp;
use crate::packed::{Axis, PAGE_TOKENS, PackedCache, Rows};
use crate::{Attended, NOTHING, Queries};

/// Rows of scores that exist at a time in one task: with 256 tokens a page, 128 KiB.
const ROW_BLOCK: usize = 128;

/// Tokens that are decoded at a time for few rows: keys and values stay in the first-level cache.
const FEW_TOKENS: usize = 64;

/// The planes of keys or values as slices.
struct Planes<'a> {
    rows: &'a Rows,
    pages: Vec<(FlexTensor, FlexTensor)>,
}

impl<'a> Planes<'a> {
    fn new(rows: &'a Rows) -> Self {
        let pages = rows.pages.iter().map(|page| {
            let codes = page.codes.clone().try_into_primitive::<Flex>();
            let scales = page.scales.clone().try_into_primitive::<Flex>();
            codes.and_then(|codes| Ok((codes, scales?))).expect("attend::cpu runs on CPU tensors")
        });
        Self { rows, pages: pages.collect() }
    }

    /// Decodes tokens of one head of a page from `from` on; their number is what fits `out`, rows
    /// of `d` values. Per channel whole groups are decoded, `spare` holds them, and what fits is
    /// used; `from` is then the beginning of a group.
    fn decode(
        &self,
        (page, head, from): (usize, usize, usize),
        d: usize,
        out: &mut [f32],
        spare: &mut Vec<f32>,
    ) {
        let first = self.rows.rows_of(from);
        match self.rows.side.axis {
            Axis::Token => self.decode_rows(page, head, first, out),
            Axis::Channel => {
                let group = self.rows.side.group();
                let tokens = out.len() / d;
                spare.resize(tokens.next_multiple_of(group) * d, 0.0);
                self.decode_rows(page, head, first, spare);
                for (token, row) in out.chunks_exact_mut(d).enumerate() {
                    let channels = spare[token / group * group * d..].chunks_exact(group);
                    for (value, channel) in row.iter_mut().zip(channels) {
                        *value = channel[token % group];
                    }
                }
            }
        }
    }

    fn decode_rows(&self, page: usize, head: usize, first: usize, out: &mut [f32]) {
        let PageShape { capacity, head_dim, words, scales, .. } = self.rows.shape;
        let rows = out.len() / head_dim;
        let (codes, halves) = &self.pages[page];
        let codes: &[u32] = codes.storage();
        let halves: &[f16] = bytemuck::cast_slice(halves.storage::<u32>());
        self.rows.side.format.decode_blocks(
            &codes[(head * capacity + first) * words..][..rows * words],
            &halves[(head * capacity + first) * scales..][..rows * scales],
            out,
        );
    }
}

/// What one task computes: some rows of one key-value head over some pages.
struct Task {
    head: usize,
    rows: Range<usize>,
    pages: Range<usize>,
}

/// A tile of decoded keys.
#[derive(Clone, Copy)]
enum Keys<'a> {
    /// Token by token, `[tokens, D]`.
    Along(&'a [f32]),
    /// Group by group of tokens, each channel by channel: `[groups, D, group]`.
    Across { keys: &'a [f32], group: usize },
}

/// The running softmax of a task's rows.
struct Partial {
    max: Vec<f32>,
    sum: Vec<f32>,
    weighted: Vec<f32>,
}

/// See [`LayerCache::attend`](crate::LayerCache::attend); `tokens` is what the cache holds.
pub(crate) fn attend(queries: &Queries, cache: &PackedCache, tokens: usize) -> Attended {
    let [b, hq, s, d] = queries.queries.dims();
    let (keys, values) = (Planes::new(&cache.keys), Planes::new(&cache.values));
    let q = queries.queries.clone().try_into_primitive::<Flex>();
    let q = q.expect("queries live where the cache does").to_contiguous();
    let heads = b * cache.keys.shape.heads;
    let held = |range: &Range<usize>| range.start.min(tokens)..range.end.min(tokens);
    let job = Job {
        queries: q.as_slice().expect("queries were made contiguous, and are f32"),
        rows: b * hq / heads * s,
        steps: s,
        head_dim: d,
        visible: queries.visible.iter().map(held).collect(),
        scale: queries.scale,
        keys,
        values,
    };
    let read = job.pages();
    let mut out = vec![0.0; b * hq * s * d];
    let mut log_sums = vec![NOTHING; b * hq * s];
    out.par_chunks_exact_mut(job.rows * d)
        .zip(log_sums.par_chunks_exact_mut(job.rows))
        .enumerate()
        .for_each(|(head, (out, log_sums))| {
            let tasks = job.tasks(head, heads, &read);
            let row_ranges: Vec<_> = tasks.iter().map(|task| task.rows.clone()).collect();
            let parts: Vec<Partial> = tasks.into_par_iter().map(|task| job.run(&task)).collect();
            finish(&parts, &row_ranges, d, out, log_sums);
        });
    let device = cache.device();
    Attended {
        output: Tensor::from_data(TensorData::new(out, [b, hq, s, d]), &device),
        log_sum: Tensor::from_data(TensorData::new(log_sums, [b, hq, s, 1]), &device),
    }
}

struct Job<'a> {
    /// `[B, Hq, S, D]`, so the `rows` of one key-value head lie together.
    queries: &'a [f32],
    /// Query heads per key-value head, times steps.
    rows: usize,
    /// `S`: row `r` reads the tokens `visible[r % steps]`.
    steps: usize,
    head_dim: usize,
    visible: Vec<Range<usize>>,
    scale: f32,
    keys: Planes<'a>,
    values: Planes<'a>,
}

impl Job<'_> {
    /// The pages that any query reads.
    fn pages(&self) -> Range<usize> {
        let read = self.visible.iter().filter(|range| !range.is_empty());
        let first = read.clone().map(|range| range.start).min().unwrap_or(0);
        let end = read.map(|range| range.end).max().unwrap_or(0);
        first / PAGE_TOKENS..end.div_ceil(PAGE_TOKENS)
    }

    /// Cuts one head's work so that all heads together keep every thread busy.
    fn tasks(&self, head: usize, heads: usize, pages: &Range<usize>) -> Vec<Task> {
        let threads = rayon::current_num_threads();
        let parts = if heads.is_multiple_of(threads) { 1 } else { (4 * threads).div_ceil(heads) };
        let cut = |range: Range<usize>, parts: usize| {
            let size = range.len().div_ceil(parts).max(1);
            let end = range.end;
            range.step_by(size).map(move |start| start..end.min(start + size))
        };
        if self.rows > few::ROWS {
            let parts = parts.min(self.rows.div_ceil(ROW_BLOCK));
            cut(0..self.rows, parts).map(|rows| Task { head, rows, pages: pages.clone() }).collect()
        } else {
            cut(pages.clone(), parts)
                .map(|pages| Task { head, rows: 0..self.rows, pages })
                .collect()
        }
    }

    fn run(&self, task: &Task) -> Partial {
        let d = self.head_dim;
        let n = task.rows.len();
        let mut part =
            Partial { max: vec![f32::MIN; n], sum: vec![0.0; n], weighted: vec![0.0; n * d] };
        let few = n <= few::ROWS;
        // A tile never begins within a group of a per-channel format, which has at most 256 tokens.
        let group = self.keys.rows.side.group().max(self.values.rows.side.group());
        // Few rows are multiplied with keys that lie per channel as they lie.
        let channels = few && self.keys.rows.side.axis == Axis::Channel;
        let across = channels.then(|| self.keys.rows.side.group());
        let tile = if few { FEW_TOKENS.next_multiple_of(group) } else { PAGE_TOKENS };
        let mut keys = vec![0.0; tile * d];
        let mut values = vec![0.0; tile * d];
        let mut scores = vec![0.0; ROW_BLOCK.min(n) * tile];
        let mut spare = Vec::new();
        // Tokens after the last that any query reads need not be decoded.
        let last = self.visible.iter().map(|range| range.end).max().unwrap_or(0);
        for page in task.pages.clone() {
            for from in (0..PAGE_TOKENS).step_by(tile) {
                let start = page * PAGE_TOKENS + from;
                let held = last.min(start + tile).saturating_sub(start);
                if held == 0 {
                    break;
                }
                let at = (page, task.head, from);
                let keys = match across {
                    Some(group) => {
                        let keys = &mut keys[..held.next_multiple_of(group) * d];
                        self.keys.decode_rows(page, task.head, self.keys.rows.rows_of(from), keys);
                        Keys::Across { keys, group }
                    }
                    None => {
                        self.keys.decode(at, d, &mut keys[..held * d], &mut spare);
                        Keys::Along(&keys[..held * d])
                    }
                };
                self.values.decode(at, d, &mut values[..held * d], &mut spare);
                let tile = (keys, &values[..held * d]);
                for from in (0..n).step_by(ROW_BLOCK) {
                    let block = from..n.min(from + ROW_BLOCK);
                    self.block(task, block, start, tile, &mut scores, &mut part);
                }
            }
        }
        part
    }

    /// One block of rows over one decoded tile, whose first token is `start`.
    fn block(
        &self,
        task: &Task,
        block: Range<usize>,
        start: usize,
        (keys, values): (Keys<'_>, &[f32]),
        scores: &mut [f32],
        part: &mut Partial,
    ) {
        let d = self.head_dim;
        let rows = block.len();
        let row = |i: usize| task.rows.start + block.start + i;
        // Which of the page's tokens a row reads.
        let visible = |i: usize| {
            let range = &self.visible[row(i) % self.steps];
            let end = range.end.saturating_sub(start).min(values.len() / d);
            range.start.saturating_sub(start).min(end)..end
        };
        let width = (0..rows).map(|i| visible(i).end).max().unwrap_or(0);
        if width == 0 {
            return;
        }
        let queries = &self.queries[(task.head * self.rows + row(0)) * d..][..rows * d];
        let scores = &mut scores[..rows * width];
        match keys {
            Keys::Along(keys) => scores_of(queries, &keys[..width * d], scores, d, self.scale),
            Keys::Across { keys, group } => {
                few::scores_across(queries, keys, scores, d, group, self.scale);
            }
        }
        let state = (&mut part.max[block.clone()], &mut part.sum[block.clone()]);
        let weighted = &mut part.weighted[block.start * d..][..rows * d];
        softmax::rows(scores, width, &(0..rows).map(visible).collect::<Vec<_>>(), state, weighted);
        add_weighted(scores, &values[..width * d], weighted, d);
    }
}

/// `scores = scale · queries · keysᵀ`, row-major `[rows, width]`.
fn scores_of(queries: &[f32], keys: &[f32], scores: &mut [f32], d: usize, scale: f32) {
    let (rows, width) = (queries.len() / d, keys.len() / d);
    if rows > few::ROWS {
        gemm(scores, queries, keys, [rows, width, d], (1, d), (false, scale));
        return;
    }
    few::scores(queries, keys, scores, d, scale);
}

/// `weighted += weights · values`, row-major `[rows, D]`.
fn add_weighted(weights: &[f32], values: &[f32], weighted: &mut [f32], d: usize) {
    let (rows, width) = (weighted.len() / d, values.len() / d);
    if rows > few::ROWS {
        gemm(weighted, weights, values, [rows, d, width], (d, 1), (true, 1.0));
        return;
    }
    few::add_weighted(weights, values, weighted, d);
}

/// `out = [out +] factor · lhs · rhs` on one thread: `out` `[m, n]` and `lhs` `[m, k]` row-major,
/// `rhs` `[k, n]` with strides `(row, column)`.
fn gemm(
    out: &mut [f32],
    lhs: &[f32],
    rhs: &[f32],
    [m, n, k]: [usize; 3],
    (row_stride, column_stride): (usize, usize),
    (add, factor): (bool, f32),
) {
    assert!(out.len() == m * n && lhs.len() == m * k && rhs.len() == k * n, "gemm sizes");
    // SAFETY: the lengths were just checked against the sizes, and the strides of `rhs` are those
    // of a dense matrix of n·k values, so no index leaves the slices.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            add,
            lhs.as_ptr(),
            1,
            k as isize,
            rhs.as_ptr(),
            column_stride as isize,
            row_stride as isize,
            1.0,
            factor,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Merges the parts of one head and divides by the sums; rows that read nothing stay as they are.
fn finish(
    parts: &[Partial],
    rows: &[Range<usize>],
    d: usize,
    out: &mut [f32],
    log_sums: &mut [f32],
) {
    let total = out.len() / d;
    let (mut max, mut sum) = (vec![f32::MIN; total], vec![0.0; total]);
    for (part, rows) in parts.iter().zip(rows) {
        for (row, part_max) in rows.clone().zip(&part.max) {
            max[row] = max[row].max(*part_max);
        }
    }
    for (part, rows) in parts.iter().zip(rows) {
        for (i, row) in rows.clone().enumerate() {
            let keep = if part.sum[i] > 0.0 { exp(part.max[i] - max[row]) } else { 0.0 };
            sum[row] += keep * part.sum[i];
            for (o, w) in out[row * d..][..d].iter_mut().zip(&part.weighted[i * d..][..d]) {
                *o += keep * w;
            }
        }
    }
    for (row, out) in out.chunks_exact_mut(d).enumerate().filter(|(row, _)| sum[*row] > 0.0) {
        out.iter_mut().for_each(|x| *x /= sum[row]);
        log_sums[row] = max[row] + sum[row].ln();
    }
}
