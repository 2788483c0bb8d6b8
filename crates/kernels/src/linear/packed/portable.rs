//! Products of packed rows on any CPU: a row is decoded into the nearest cache and multiplied
//! there.

#[cfg(target_arch = "x86_64")]
use super::x86;
use crate::ggml::BlockType;
use crate::simd::dot;
use crate::wide;

wide! {
    /// Products of one decoded row with each row of `x`.
    fn column<'a>(column: &'a mut [f32], x: &'a [f32], row: &'a [f32]) -> () {
        for (y, x) in column.iter_mut().zip(x.chunks_exact(row.len())) {
            *y = dot(row, x);
        }
    }
}

/// Columns of products of packed rows with `n` rows of `x`, one for each packed row.
pub(super) fn products(x: &[f32], kind: BlockType, weights: &[u8], columns: &mut [f32], n: usize) {
    let k = x.len() / n;
    #[cfg(target_arch = "x86_64")]
    if x86::floats(x, kind, weights, k, columns) {
        return;
    }
    let mut row = vec![0.0; k];
    let bytes = weights.len() / (columns.len() / n);
    for (packed, out) in weights.chunks_exact(bytes).zip(columns.chunks_exact_mut(n)) {
        kind.decode_row(packed, &mut row);
        column(out, x, &row);
    }
}
