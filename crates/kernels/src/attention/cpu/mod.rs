//! Attention on the CPU: packed pages are decoded one at a time into a buffer that fits the caches.
//!
//! Work is cut into tasks by sequence and key-value head, so that every page is decoded once for
//! all the query heads that share it. Where there are fewer heads than threads, many queries are
//! split by rows, and few queries (decode) by pages (a KV split), whose partial attention is
//! merged.

mod few;
mod planes;
mod softmax;

use std::ops::Range;

use burn::Tensor;
use burn::backend::Flex;
use burn::tensor::TensorData;
use rayon::prelude::*;

use self::planes::{At, Planes};
use crate::attention::{LN_ZERO, PartialAttention};
use crate::paged::{Axis, PAGE_TOKENS, Store};
use crate::simd::{Buffer, exp, soft_cap};
use crate::tokens::Queries;

/// Rows of scores that exist at a time in one task: with 256 tokens a page, 128 KiB.
const ROW_BLOCK: usize = 128;

/// Tokens that are decoded at a time for few rows: keys and values stay in the first-level cache.
const FEW_TOKENS: usize = 64;

/// What one task computes: some rows of one key-value head over some pages.
struct Task {
    head: usize,
    rows: Range<usize>,
    pages: Range<usize>,
}

/// The running softmax of a task's rows, and their weighted sums of values, `[rows, D]`.
struct Partial {
    running: softmax::Running,
    weighted: Buffer,
}

impl Partial {
    fn new(rows: usize, d: usize) -> Self {
        Self { running: softmax::Running::new(rows), weighted: Buffer::new(rows * d) }
    }
}

/// See [`PackedCache::attend`](crate::PackedCache::attend).
pub(crate) fn attend(queries: &Queries, cache: &Store) -> PartialAttention {
    let tokens = cache.tokens;
    let [b, hq, s, d] = queries.queries.dims();
    let (keys, values) = (planes::tensors(&cache.keys), planes::tensors(&cache.values));
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
        soft_cap: queries.soft_cap,
        keys: Planes::new(&cache.keys, &keys),
        values: Planes::new(&cache.values, &values),
    };
    let read = job.pages();
    let mut out = vec![0.0; b * hq * s * d];
    let mut log_sum_exps = vec![LN_ZERO; b * hq * s];
    out.par_chunks_exact_mut(job.rows * d)
        .zip(log_sum_exps.par_chunks_exact_mut(job.rows))
        .enumerate()
        .for_each(|(head, (out, log_sum_exps))| {
            let tasks = job.tasks(head, heads, &read);
            let row_ranges: Vec<_> = tasks.iter().map(|task| task.rows.clone()).collect();
            let parts: Vec<Partial> = tasks.into_par_iter().map(|task| job.run(&task)).collect();
            finish(&parts, &row_ranges, d, out, log_sum_exps);
        });
    let device = cache.context.device.clone();
    PartialAttention {
        output: Tensor::from_data(TensorData::new(out, [b, hq, s, d]), &device),
        log_sum_exp: Tensor::from_data(TensorData::new(log_sum_exps, [b, hq, s, 1]), &device),
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
    soft_cap: Option<f32>,
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
        if task.rows.len() <= few::ROWS { self.run_few(task) } else { self.run_many(task) }
    }

    /// Each tile of keys is decoded and read, then its values in the same place: what is decoded
    /// stays in the first-level cache.
    fn run_few(&self, task: &Task) -> Partial {
        let (n, d) = (task.rows.len(), self.head_dim);
        let mut part = Partial::new(n, d);
        // Aligned to the processor's cache lines, wherever the tensor lies.
        let mut queries = Buffer::new(n * d);
        queries.copy_from_slice(&self.queries[self.first_row(task) * d..][..n * d]);
        // Per-channel keys are multiplied in the order in which they are stored.
        let across = self.keys.rows.side.axis == Axis::Channel;
        let group = self.keys.rows.side.group();
        let size = self.tile_size(FEW_TOKENS);
        let mut tile = Buffer::new(size * d);
        let mut scores = Buffer::new(n * size);
        let mut spare = Vec::new();
        for (at, start) in self.tiles(task, size) {
            let visible = self.visible(task.rows.clone(), start, size);
            let width = last(&visible);
            if width == 0 {
                continue;
            }
            let scores = &mut scores[..n * width];
            if across {
                let keys = &mut tile[..width.next_multiple_of(group) * d];
                self.keys.decode_rows(at, keys);
                few::scores_across(&queries, keys, scores, d, group, self.scale);
            } else {
                let keys = &mut tile[..width * d];
                self.keys.decode(at, d, keys, &mut spare);
                few::scores(&queries, keys, scores, d, self.scale, self.values.prefetch(at, width));
            }
            self.cap(scores);
            softmax::rows(scores, width, &visible, (&mut part.running, 0), &mut part.weighted);
            let values = &mut tile[..width * d];
            self.values.decode(at, d, values, &mut spare);
            let next = at.2 + size;
            let next = if next == PAGE_TOKENS { (at.0 + 1, at.1, 0) } else { (at.0, at.1, next) };
            few::add_weighted(
                scores,
                values,
                &mut part.weighted,
                d,
                self.keys.prefetch(next, size),
            );
        }
        part
    }

    /// Each page is decoded once for all rows, which read it block by block.
    fn run_many(&self, task: &Task) -> Partial {
        let (n, d) = (task.rows.len(), self.head_dim);
        let mut part = Partial::new(n, d);
        let queries = &self.queries[self.first_row(task) * d..][..n * d];
        let size = self.tile_size(PAGE_TOKENS);
        let mut keys = Buffer::new(size * d);
        let mut values = Buffer::new(size * d);
        let mut scores = Buffer::new(ROW_BLOCK.min(n) * size);
        let mut spare = Vec::new();
        // Tokens after the last that any query reads need not be decoded.
        let end = last(&self.visible);
        for (at, start) in self.tiles(task, size) {
            let held = end.min(start + size).saturating_sub(start);
            self.keys.decode(at, d, &mut keys[..held * d], &mut spare);
            self.values.decode(at, d, &mut values[..held * d], &mut spare);
            for from in (0..n).step_by(ROW_BLOCK) {
                let block = from..n.min(from + ROW_BLOCK);
                let rows = task.rows.start + block.start..task.rows.start + block.end;
                let visible = self.visible(rows, start, size);
                let width = last(&visible);
                if width == 0 {
                    continue;
                }
                let queries = &queries[block.start * d..block.end * d];
                let weighted = &mut part.weighted[block.start * d..block.end * d];
                let scores = &mut scores[..block.len() * width];
                let (keys, values) = (&keys[..width * d], &values[..width * d]);
                let sizes = [block.len(), width, d];
                gemm(scores, queries, keys, sizes, (1, d), (false, self.scale));
                self.cap(scores);
                let running = (&mut part.running, block.start);
                softmax::rows(scores, width, &visible, running, weighted);
                let sizes = [block.len(), d, width];
                gemm(weighted, scores, values, sizes, (d, 1), (true, 1.0));
            }
        }
        part
    }

    fn cap(&self, scores: &mut [f32]) {
        if let Some(cap) = self.soft_cap {
            soft_cap(scores, cap);
        }
    }

    /// The first row of a task among those of all sequences and heads.
    fn first_row(&self, task: &Task) -> usize {
        task.head * self.rows + task.rows.start
    }

    /// Tokens of a tile: `wanted`, or more, since a tile never begins within a group of a
    /// per-channel format, which has at most as many tokens as a page.
    fn tile_size(&self, wanted: usize) -> usize {
        let group = self.keys.rows.side.group().max(self.values.rows.side.group());
        wanted.next_multiple_of(group)
    }

    /// Where the tiles of a task lie, and the first token of each.
    fn tiles(&self, task: &Task, size: usize) -> impl Iterator<Item = (At, usize)> {
        let head = task.head;
        task.pages.clone().flat_map(move |page| {
            let tiles = (0..PAGE_TOKENS).step_by(size);
            tiles.map(move |from| ((page, head, from), page * PAGE_TOKENS + from))
        })
    }

    /// Which tokens of a tile each of a task's rows reads.
    fn visible(&self, rows: Range<usize>, start: usize, size: usize) -> Vec<Range<usize>> {
        let visible = rows.map(|row| {
            let range = &self.visible[row % self.steps];
            let end = range.end.saturating_sub(start).min(size);
            range.start.saturating_sub(start).min(end)..end
        });
        visible.collect()
    }
}

/// The token after the last that any row reads.
fn last(visible: &[Range<usize>]) -> usize {
    visible.iter().map(|range| range.end).max().unwrap_or(0)
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
/// Rows of a score that is no number become NaN, and so do those whose scores are all -∞.
fn finish(
    parts: &[Partial],
    rows: &[Range<usize>],
    d: usize,
    out: &mut [f32],
    log_sum_exps: &mut [f32],
) {
    let total = out.len() / d;
    let (mut max, mut sum) = (vec![f32::MIN; total], vec![0.0; total]);
    for (part, rows) in parts.iter().zip(rows) {
        for (row, part_max) in rows.clone().zip(&part.running.max) {
            max[row] = max[row].max(*part_max);
        }
    }
    for (part, rows) in parts.iter().zip(rows) {
        for (i, row) in rows.clone().enumerate() {
            let seen = part.running.sum(i);
            let keep = if seen == 0.0 { 0.0 } else { exp(part.running.max[i] - max[row]) };
            sum[row] += keep * seen;
            for (o, w) in out[row * d..][..d].iter_mut().zip(&part.weighted[i * d..][..d]) {
                *o += keep * w;
            }
        }
    }
    for (row, out) in out.chunks_exact_mut(d).enumerate().filter(|(row, _)| sum[*row] != 0.0) {
        // No score passed the lowest number: they are -∞, and there is no mean of their values.
        let sum = if max[row] == f32::MIN { f32::NAN } else { sum[row] };
        out.iter_mut().for_each(|x| *x /= sum);
        log_sum_exps[row] = max[row] + sum.ln();
    }
}
