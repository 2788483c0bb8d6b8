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

use super::softmax;
use crate::kernels::PageShape;
use crate::kernels::simd::{dot, exp};
use crate::packed::{PAGE_TOKENS, PackedCache, Rows};
use crate::{Format, Queries};

/// Rows of scores that exist at a time in one task: with 256 tokens a page, 128 KiB.
const ROW_BLOCK: usize = 128;

/// Up to this many rows the GEMM's packing costs more than it saves.
const FEW_ROWS: usize = 8;

/// The planes of keys or values as slices.
struct Planes<'a> {
    format: &'a dyn Format,
    shape: PageShape,
    pages: Vec<(FlexTensor, FlexTensor)>,
}

impl<'a> Planes<'a> {
    fn new(rows: &'a Rows) -> Self {
        let pages = rows.pages.iter().map(|page| {
            let codes = page.codes.clone().try_into_primitive::<Flex>();
            let scales = page.scales.clone().try_into_primitive::<Flex>();
            codes.and_then(|codes| Ok((codes, scales?))).expect("attend::cpu runs on CPU tensors")
        });
        Self { format: &*rows.format, shape: rows.shape, pages: pages.collect() }
    }

    /// Decodes the first tokens of one head of a page; their number is what fits `rows`.
    fn decode(&self, page: usize, head: usize, rows: &mut [f32]) {
        let PageShape { capacity, head_dim, words, scales, .. } = self.shape;
        let tokens = rows.len() / head_dim;
        let (codes, halves) = &self.pages[page];
        let codes: &[u32] = codes.storage();
        let halves: &[f16] = bytemuck::cast_slice(halves.storage::<u32>());
        self.format.decode_blocks(
            &codes[head * capacity * words..][..tokens * words],
            &halves[head * capacity * scales..][..tokens * scales],
            rows,
        );
    }
}

/// What one task computes: some rows of one key-value head over some pages.
struct Task {
    head: usize,
    rows: Range<usize>,
    pages: Range<usize>,
}

/// The running softmax of a task's rows.
struct Partial {
    max: Vec<f32>,
    sum: Vec<f32>,
    weighted: Vec<f32>,
}

/// See [`LayerCache::attend`](crate::LayerCache::attend); `tokens` is what the cache holds.
pub(crate) fn attend(queries: Queries, cache: &PackedCache, tokens: usize) -> Tensor<4> {
    let [b, hq, s, d] = queries.queries.dims();
    let (keys, values) = (Planes::new(&cache.keys), Planes::new(&cache.values));
    let q =
        queries.queries.try_into_primitive::<Flex>().expect("queries live where the cache does");
    let q = q.to_contiguous();
    let job = Job {
        queries: q.as_slice().expect("queries were made contiguous, and are f32"),
        rows: hq / keys.shape.heads * s,
        steps: s,
        head_dim: d,
        first: queries.position,
        scale: queries.scale,
        tokens,
        keys,
        values,
    };
    let heads = b * job.keys.shape.heads;
    let mut out = vec![0.0; b * hq * s * d];
    out.par_chunks_exact_mut(job.rows * d).enumerate().for_each(|(head, out)| {
        let tasks = job.tasks(head, heads);
        let row_ranges: Vec<_> = tasks.iter().map(|task| task.rows.clone()).collect();
        let parts: Vec<Partial> = tasks.into_par_iter().map(|task| job.run(&task)).collect();
        finish(&parts, &row_ranges, d, out);
    });
    Tensor::from_data(TensorData::new(out, [b, hq, s, d]), &cache.device())
}

struct Job<'a> {
    /// `[B, Hq, S, D]`, so the `rows` of one key-value head lie together.
    queries: &'a [f32],
    /// Query heads per key-value head, times steps.
    rows: usize,
    /// `S`: row `r` is at position `first + r % steps`.
    steps: usize,
    head_dim: usize,
    first: usize,
    scale: f32,
    tokens: usize,
    keys: Planes<'a>,
    values: Planes<'a>,
}

impl Job<'_> {
    /// Cuts one head's work so that all heads together keep every thread busy.
    fn tasks(&self, head: usize, heads: usize) -> Vec<Task> {
        let threads = rayon::current_num_threads();
        let pages = self.tokens.div_ceil(PAGE_TOKENS);
        let parts = if heads.is_multiple_of(threads) { 1 } else { (4 * threads).div_ceil(heads) };
        let cut = |total: usize, parts: usize| {
            let size = total.div_ceil(parts.clamp(1, total));
            (0..total).step_by(size).map(move |start| start..total.min(start + size))
        };
        if self.rows > FEW_ROWS {
            let parts = parts.min(self.rows.div_ceil(ROW_BLOCK));
            cut(self.rows, parts).map(|rows| Task { head, rows, pages: 0..pages }).collect()
        } else {
            cut(pages, parts).map(|pages| Task { head, rows: 0..self.rows, pages }).collect()
        }
    }

    fn run(&self, task: &Task) -> Partial {
        let d = self.head_dim;
        let n = task.rows.len();
        let mut part =
            Partial { max: vec![f32::MIN; n], sum: vec![0.0; n], weighted: vec![0.0; n * d] };
        let mut keys = vec![0.0; PAGE_TOKENS * d];
        let mut values = vec![0.0; PAGE_TOKENS * d];
        let mut scores = vec![0.0; ROW_BLOCK.min(n) * PAGE_TOKENS];
        for page in task.pages.clone() {
            let start = page * PAGE_TOKENS;
            // Tokens after the last query's position are read by nobody.
            let end = self.tokens.min(start + PAGE_TOKENS).min(self.first + self.steps);
            if end <= start {
                break;
            }
            let held = end - start;
            self.keys.decode(page, task.head, &mut keys[..held * d]);
            self.values.decode(page, task.head, &mut values[..held * d]);
            for from in (0..n).step_by(ROW_BLOCK) {
                let block = from..n.min(from + ROW_BLOCK);
                self.block(
                    task,
                    block,
                    start,
                    (&keys[..held * d], &values[..held * d]),
                    &mut scores,
                    &mut part,
                );
            }
        }
        part
    }

    /// One block of rows over one decoded page.
    fn block(
        &self,
        task: &Task,
        block: Range<usize>,
        start: usize,
        (keys, values): (&[f32], &[f32]),
        scores: &mut [f32],
        part: &mut Partial,
    ) {
        let d = self.head_dim;
        let rows = block.len();
        let row = |i: usize| task.rows.start + block.start + i;
        // How many of the page's tokens a row may read.
        let visible = |i: usize| {
            (self.first + row(i) % self.steps + 1).saturating_sub(start).min(keys.len() / d)
        };
        let width = (0..rows).map(visible).max().unwrap_or(0);
        if width == 0 {
            return;
        }
        let queries = &self.queries[(task.head * self.rows + row(0)) * d..][..rows * d];
        let scores = &mut scores[..rows * width];
        scores_of(queries, &keys[..width * d], scores, d, self.scale);
        pulp::Arch::new().dispatch(|| {
            for (i, scores) in scores.chunks_exact_mut(width).enumerate() {
                let (seen, hidden) = scores.split_at_mut(visible(i));
                hidden.fill(0.0);
                if seen.is_empty() {
                    continue;
                }
                let at = block.start + i;
                let (max, sum) = softmax::weights(seen, part.max[at]);
                let keep = exp(part.max[at] - max);
                part.sum[at] = part.sum[at] * keep + sum;
                part.max[at] = max;
                if keep != 1.0 {
                    part.weighted[at * d..][..d].iter_mut().for_each(|x| *x *= keep);
                }
            }
        });
        let weighted = &mut part.weighted[block.start * d..][..rows * d];
        add_weighted(scores, &values[..width * d], weighted, d);
    }
}

/// `scores = scale · queries · keysᵀ`, row-major `[rows, width]`.
fn scores_of(queries: &[f32], keys: &[f32], scores: &mut [f32], d: usize, scale: f32) {
    let (rows, width) = (queries.len() / d, keys.len() / d);
    if rows > FEW_ROWS {
        gemm(scores, queries, keys, [rows, width, d], (1, d), (false, scale));
        return;
    }
    pulp::Arch::new().dispatch(|| {
        for (query, scores) in queries.chunks_exact(d).zip(scores.chunks_exact_mut(width)) {
            for (key, score) in keys.chunks_exact(d).zip(scores) {
                *score = scale * dot(query, key);
            }
        }
    });
}

/// `weighted += weights · values`, row-major `[rows, D]`.
fn add_weighted(weights: &[f32], values: &[f32], weighted: &mut [f32], d: usize) {
    let (rows, width) = (weighted.len() / d, values.len() / d);
    if rows > FEW_ROWS {
        gemm(weighted, weights, values, [rows, d, width], (d, 1), (true, 1.0));
        return;
    }
    pulp::Arch::new().dispatch(|| {
        for (weights, out) in weights.chunks_exact(width).zip(weighted.chunks_exact_mut(d)) {
            for (weight, value) in weights.iter().zip(values.chunks_exact(d)) {
                for (o, v) in out.iter_mut().zip(value) {
                    *o += weight * v;
                }
            }
        }
    });
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

/// Merges the parts of one head and divides by the sums.
fn finish(parts: &[Partial], rows: &[Range<usize>], d: usize, out: &mut [f32]) {
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
    for (out, sum) in out.chunks_exact_mut(d).zip(sum) {
        out.iter_mut().for_each(|x| *x /= sum);
    }
}
