//! Products with many rows of `x`, as prompts make: panels of rows are decoded to f32 and
//! multiplied while they are in cache, so that no f32 copy of the weight exists.

use rayon::prelude::*;

use super::matrix::PackedMatrix;
use crate::linear::output::Output;

/// Bytes of a decoded panel.
const PANEL: usize = 512 << 10;

/// `out[i][j] = x[i] · weight[j]` for `n` rows of `x`.
pub(super) fn many_rows(x: &[f32], weight: &PackedMatrix, out: &mut [f32], n: usize) {
    let (m, k) = (weight.rows(), weight.columns());
    let threads = rayon::current_num_threads();
    let most = (PANEL / (size_of::<f32>() * k)).clamp(16, 256);
    let panel = m.div_ceil(m.div_ceil(most).next_multiple_of(threads)).max(16);
    let output = Output::new(out, [n, m]);
    let mut tasks = Vec::new();
    let mut at = 0;
    for (part, rows) in weight.ranges(panel) {
        let count = rows.len();
        tasks.push((part, rows, at));
        at += count;
    }
    tasks.into_par_iter().for_each_init(Vec::new, |scratch, (part, rows, at)| {
        scratch.resize(rows.len() * k, 0.0);
        part.kind.decode_row(part.packed(rows), scratch);
        // SAFETY: each task has the columns of its rows, and `out` is borrowed until all are done.
        unsafe { output.multiply(at, x, scratch, k) };
    });
}
