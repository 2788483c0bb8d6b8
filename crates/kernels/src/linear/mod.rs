//! `y = x · Wᵀ` where `W` keeps the type it has on disk and arithmetic is f32.
//!
//! On the CPU each task converts a block of `W`'s rows and multiplies it at once, so that no f32
//! copy of the weights exists. With few rows of `x` (decode) the block is a single row, read once
//! from memory: what bounds decode is the bytes of the weights.

#[cfg(target_arch = "x86_64")]
mod few;
mod output;
mod packed;
mod weight;

pub use packed::{PackedError, PackedMatrix, SharedBytes};
pub use weight::{Weight, packed_rows};

use crate::device::is_cpu;
use crate::simd::{dot, widen};
use crate::wide;
use burn::Tensor;
use burn::tensor::DType;
use burn_flex::FlexTensor;
use half::{bf16, f16};
use rayon::prelude::*;

use self::output::{Output, transpose};
use crate::layers::{dense, f32s, from_f32s};

/// Up to this many rows of `x`, weights are converted row by row and multiplied by hand.
const FEW_ROWS: usize = 8;

/// Rows of `W` in one task of the GEMM path: with 2048 columns, 1 MiB of converted weights.
const BLOCK: usize = 128;

/// Multiplies rows `[N, in]` with a weight `[out, in]`: `[N, out]`.
pub fn linear(x: Tensor<2>, weight: &Tensor<2>) -> Tensor<2> {
    let device = x.device();
    let [n, k] = x.dims();
    if !is_cpu(&device) {
        return match n {
            // As the left side the weight is read along its rows: decoding is twice as fast.
            0..=FEW_ROWS => weight.clone().matmul(x.transpose()).transpose(),
            _ => x.matmul(weight.clone().transpose()),
        };
    }
    let [m, _] = weight.dims();
    let (x, weight) = (dense(x), dense(weight.clone()));
    let mut out = vec![0.0; n * m];
    if n <= FEW_ROWS {
        few_rows(f32s(&x), &weight, &mut out, [n, m, k]);
    } else {
        many_rows(f32s(&x), &weight, &mut out, [n, m, k]);
    }
    from_f32s(out, [n, m], &device)
}

/// Rows `from..` of a weight as f32, as many as fit `out`.
#[inline]
fn convert(weight: &FlexTensor, from: usize, k: usize, out: &mut [f32]) {
    let range = from * k..from * k + out.len();
    match weight.dtype() {
        DType::F16 => widen(&weight.storage::<f16>()[range], out),
        DType::BF16 => widen_bf16(&weight.storage::<bf16>()[range], out),
        _ => out.copy_from_slice(&weight.storage::<f32>()[range]),
    }
}

wide! {
    fn widen_bf16<'a>(from: &'a [bf16], out: &'a mut [f32]) -> () {
        for (out, v) in out.iter_mut().zip(from) {
            *out = f32::from_bits(u32::from(v.to_bits()) << 16);
        }
    }
}

wide! {
    /// Products of one row of the weight with each row of `x`.
    fn products<'a>(column: &'a mut [f32], x: &'a [f32], row: &'a [f32]) -> () {
        for (y, x) in column.iter_mut().zip(x.chunks_exact(row.len())) {
            *y = dot(row, x);
        }
    }
}

fn few_rows(x: &[f32], weight: &FlexTensor, out: &mut [f32], [n, m, k]: [usize; 3]) {
    // Columns of the transposed output are independent: each task fills some, and they are put
    // into place afterwards, which costs n·m moves.
    let task = m.div_ceil(4 * rayon::current_num_threads()).max(16);
    let mut columns = vec![0.0; m * n];
    columns.par_chunks_mut(task * n).enumerate().for_each(|(i, columns)| {
        #[cfg(target_arch = "x86_64")]
        if few::supports(k) {
            let range = i * task * k..(i * task + columns.len() / n) * k;
            return match weight.dtype() {
                DType::F16 => few::products(x, &weight.storage::<f16>()[range], k, columns),
                DType::BF16 => few::products(x, &weight.storage::<bf16>()[range], k, columns),
                _ => few::products(x, &weight.storage::<f32>()[range], k, columns),
            };
        }
        let mut row = vec![0.0; k];
        for (j, column) in columns.chunks_exact_mut(n).enumerate() {
            convert(weight, i * task + j, k, &mut row);
            products(column, x, &row);
        }
    });
    transpose(&columns, out, n);
}

fn many_rows(x: &[f32], weight: &FlexTensor, out: &mut [f32], [n, m, k]: [usize; 3]) {
    let threads = rayon::current_num_threads();
    let block = m.div_ceil(m.div_ceil(BLOCK).next_multiple_of(threads)).max(16);
    let output = Output::new(out, [n, m]);
    (0..m.div_ceil(block)).into_par_iter().for_each(|i| {
        let from = i * block;
        let rows = block.min(m - from);
        let mut scratch = Vec::new();
        let weights: &[f32] = if weight.dtype() == DType::F32 {
            &weight.storage::<f32>()[from * k..][..rows * k]
        } else {
            scratch.resize(rows * k, 0.0);
            convert(weight, from, k, &mut scratch);
            &scratch
        };
        // SAFETY: each task has the columns of its rows, and `out` is borrowed until all are done.
        unsafe { output.multiply(from, x, weights, k) };
    });
}
