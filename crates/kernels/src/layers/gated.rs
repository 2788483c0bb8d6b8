//! Gated units (Shazeer 2020): `activation(gate) · up`, SwiGLU and GeGLU.

use burn::Tensor;
use burn::tensor::activation::{gelu_approximate, silu};
use rayon::prelude::*;

use super::{dense, f32s, from_f32s};
use crate::device::is_cpu;
use crate::simd::exp;
use crate::wide;

/// What the gate goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x · sigmoid(x)`.
    Silu,
    /// GELU in its approximation by a hyperbolic tangent.
    GeluTanh,
}

/// Rows in one task.
const ROWS: usize = 16;

/// `[N, 2·F]`, gate first and up second, to `[N, F]`.
pub fn gated(gate_up: Tensor<2>, activation: Activation) -> Tensor<2> {
    let device = gate_up.device();
    let [n, width] = gate_up.dims();
    let half = width / 2;
    if !is_cpu(&device) {
        let gate = gate_up.clone().narrow(1, 0, half);
        let gate = match activation {
            Activation::Silu => silu(gate),
            Activation::GeluTanh => gelu_approximate(gate),
        };
        return gate * gate_up.narrow(1, half, half);
    }
    let gate_up = dense(gate_up);
    let mut out = vec![0.0; n * half];
    out.par_chunks_mut(half * ROWS).zip(f32s(&gate_up).par_chunks(width * ROWS)).for_each(
        |(out, rows)| match activation {
            Activation::Silu => swiglu(out, rows, half),
            Activation::GeluTanh => geglu(out, rows, half),
        },
    );
    from_f32s(out, [n, half], &device)
}

wide! {
    fn swiglu<'a>(out: &'a mut [f32], rows: &'a [f32], half: usize) -> () {
        units::<false>(out, rows, half);
    }
}

wide! {
    fn geglu<'a>(out: &'a mut [f32], rows: &'a [f32], half: usize) -> () {
        units::<true>(out, rows, half);
    }
}

/// `gate · sigmoid(z) · up`, where `z` is the gate, or for GELU a polynomial of it: `½(1 +
/// tanh(u))` is `sigmoid(2u)`.
#[inline(always)]
fn units<const GELU: bool>(out: &mut [f32], rows: &[f32], half: usize) {
    const SQRT_8_OVER_PI: f32 = 1.595_769;
    for (out, row) in out.chunks_exact_mut(half).zip(rows.chunks_exact(2 * half)) {
        let (gate, up) = row.split_at(half);
        for ((out, g), u) in out.iter_mut().zip(gate).zip(up) {
            let z = if GELU { SQRT_8_OVER_PI * g * (1.0 + 0.044_715 * g * g) } else { *g };
            // e^-|z| stays in the range of `exp`; the other sign follows from it.
            let e = exp(-z.abs());
            let numerator = if z >= 0.0 { 1.0 } else { e };
            *out = g * u * numerator / (1.0 + e);
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn both_units_equal_their_definitions() {
        let gates: Vec<f32> = (-40..=40).map(|i| i as f32 / 4.0).chain([-3e4, 3e4]).collect();
        let half = gates.len();
        let row = [gates.as_slice(), &vec![0.5; half]].concat();
        let unit = |activation| {
            let x = from_f32s(row.clone(), [1, 2 * half], &Device::flex());
            gated(x, activation).into_data().try_into_vec::<f32>().expect("f32")
        };
        type Definition = fn(f64) -> f64;
        let definitions: [(Activation, Definition); 2] = [
            (Activation::Silu, |g| g / (1.0 + (-g).exp())),
            (Activation::GeluTanh, |g| {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (g + 0.044_715 * g.powi(3));
                0.5 * g * (1.0 + inner.tanh())
            }),
        ];
        for (activation, definition) in definitions {
            for (got, gate) in unit(activation).iter().zip(&gates) {
                let want = 0.5 * definition(f64::from(*gate));
                let off = (f64::from(*got) - want).abs();
                assert!(off <= 1e-6 * want.abs().max(1.0), "{activation:?} of {gate}: {got}");
            }
        }
    }
}
