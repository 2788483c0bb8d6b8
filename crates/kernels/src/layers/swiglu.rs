//! SwiGLU (Shazeer 2020): `silu(gate) · up`.

use crate::device::is_cpu;
use crate::simd::exp;
use crate::wide;
use burn::Tensor;
use burn::tensor::activation::silu;
use rayon::prelude::*;

use super::{dense, f32s, from_f32s};

/// Rows in one task.
const ROWS: usize = 16;

/// `[N, 2·F]`, gate first and up second, to `[N, F]`.
pub fn swiglu(gate_up: Tensor<2>) -> Tensor<2> {
    let device = gate_up.device();
    let [n, width] = gate_up.dims();
    let half = width / 2;
    if !is_cpu(&device) {
        let gate = gate_up.clone().narrow(1, 0, half);
        return silu(gate) * gate_up.narrow(1, half, half);
    }
    let gate_up = dense(gate_up);
    let mut out = vec![0.0; n * half];
    out.par_chunks_mut(half * ROWS)
        .zip(f32s(&gate_up).par_chunks(width * ROWS))
        .for_each(|(out, rows)| gated(out, rows, half));
    from_f32s(out, [n, half], &device)
}

wide! {
    fn gated<'a>(out: &'a mut [f32], rows: &'a [f32], half: usize) -> () {
        for (out, row) in out.chunks_exact_mut(half).zip(rows.chunks_exact(2 * half)) {
            let (gate, up) = row.split_at(half);
            for ((out, g), u) in out.iter_mut().zip(gate).zip(up) {
                // e^-|g| stays in the range of `exp`; the other sign follows from it.
                let e = exp(-g.abs());
                let numerator = if *g >= 0.0 { 1.0 } else { e };
                *out = g * u * numerator / (1.0 + e);
            }
        }
    }
}
