//! From the fused projection to heads: queries and keys rotated by RoPE (Su et al. 2021), values
//! unchanged. Pairs are `(i, i + D/2)`, as in Hugging Face's checkpoints.

use crate::device::is_cpu;
use crate::wide;
use burn::Tensor;
use burn::tensor::TensorData;
use rayon::prelude::*;

use super::{dense, f32s, from_f32s};

/// Cosines and sines of consecutive positions, each `[S, D/2]`.
pub struct Angles {
    /// Cosines.
    pub cos: Vec<f32>,
    /// Sines.
    pub sin: Vec<f32>,
}

/// Sizes of one step.
#[derive(Clone, Copy)]
pub struct HeadShape {
    /// `B`.
    pub batch: usize,
    /// `S`.
    pub steps: usize,
    /// `Hq`.
    pub query_heads: usize,
    /// `Hkv`.
    pub kv_heads: usize,
    /// `D`.
    pub head_dim: usize,
}

/// Splits `[B·S, (Hq + 2·Hkv)·D]` into queries `[B, Hq, S, D]`, keys and values `[B, Hkv, S, D]`.
pub fn split_heads(qkv: Tensor<2>, shape: HeadShape, angles: &Angles) -> [Tensor<4>; 3] {
    let device = qkv.device();
    let HeadShape { batch: b, steps: s, query_heads, kv_heads, head_dim: d } = shape;
    let parts = [
        (0, query_heads, true),
        (query_heads, kv_heads, true),
        (query_heads + kv_heads, kv_heads, false),
    ];
    if is_cpu(&device) {
        let qkv = dense(qkv);
        let heads = query_heads + 2 * kv_heads;
        return parts.map(|(first, count, rotates)| {
            let angles = rotates.then_some(angles);
            let out = split_cpu(f32s(&qkv), heads, first, count, (b, s, d), angles);
            from_f32s(out, [b, count, s, d], &device)
        });
    }
    let table = |values: &[f32]| {
        Tensor::<2>::from_data(TensorData::new(values.to_vec(), [s, d / 2]), &device)
            .unsqueeze::<4>()
    };
    let (cos, sin) = (table(&angles.cos), table(&angles.sin));
    parts.map(|(first, count, rotates)| {
        let x =
            qkv.clone().narrow(1, first * d, count * d).reshape([b, s, count, d]).swap_dims(1, 2);
        if !rotates {
            return x;
        }
        let (x1, x2) = (x.clone().narrow(3, 0, d / 2), x.narrow(3, d / 2, d / 2));
        let low = x1.clone() * cos.clone() - x2.clone() * sin.clone();
        let high = x2 * cos.clone() + x1 * sin.clone();
        Tensor::cat(vec![low, high], 3)
    })
}

fn split_cpu(
    qkv: &[f32],
    heads: usize,
    first: usize,
    count: usize,
    (b, s, d): (usize, usize, usize),
    angles: Option<&Angles>,
) -> Vec<f32> {
    let mut out = vec![0.0; b * count * s * d];
    out.par_chunks_exact_mut(s * d).enumerate().for_each(|(i, rows)| {
        let (sequence, head) = (i / count, first + i % count);
        let from = (sequence * s * heads + head) * d;
        rotate(rows, &qkv[from..], (heads * d, d), angles);
    });
    out
}

wide! {
    /// Rows of `d` values, `stride` apart, rotated by their angles where there are any.
    fn rotate<'a>(
        rows: &'a mut [f32],
        x: &'a [f32],
        sizes: (usize, usize),
        angles: Option<&'a Angles>,
    ) -> () {
        let (stride, d) = sizes;
        for (step, out) in rows.chunks_exact_mut(d).enumerate() {
            let x = &x[step * stride..][..d];
            let Some(angles) = angles else {
                out.copy_from_slice(x);
                continue;
            };
            let half = d / 2;
            let (cos, sin) =
                (&angles.cos[step * half..][..half], &angles.sin[step * half..][..half]);
            let (low, high) = out.split_at_mut(half);
            let (x1, x2) = x.split_at(half);
            for j in 0..half {
                low[j] = x1[j] * cos[j] - x2[j] * sin[j];
                high[j] = x2[j] * cos[j] + x1[j] * sin[j];
            }
        }
    }
}
