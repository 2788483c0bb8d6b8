//! From the fused projection to heads: queries and keys normalised head by head where a family does
//! that, and rotated by RoPE (Su et al. 2021); values unchanged.

use burn::Tensor;
use burn::tensor::TensorData;
use rayon::prelude::*;

use super::norm::{Norm, row};
use super::{dense, f32s, from_f32s};
use crate::device::is_cpu;
use crate::rope::{ChannelOrder, rotate};
use crate::wide;

/// Cosines and sines of consecutive positions, each `[S, pairs]`.
pub struct Angles {
    /// Cosines.
    pub cos: Vec<f32>,
    /// Sines.
    pub sin: Vec<f32>,
    /// Pairs of channels that are rotated; the channels behind them are not.
    pub pairs: usize,
    /// Which channels are a pair.
    pub order: ChannelOrder,
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

/// What happens to each head's rows, in this order.
#[derive(Clone, Copy, Default)]
pub struct HeadOps<'a> {
    /// The norm of a head.
    pub norm: Option<&'a Norm>,
    /// The angles by which RoPE rotates.
    pub angles: Option<&'a Angles>,
}

/// Splits `[B·S, (Hq + 2·Hkv)·D]` into queries `[B, Hq, S, D]`, keys and values `[B, Hkv, S, D]`;
/// `ops` are those of queries and of keys.
pub fn split_heads(qkv: Tensor<2>, shape: HeadShape, ops: [HeadOps<'_>; 2]) -> [Tensor<4>; 3] {
    let device = qkv.device();
    let HeadShape { batch: b, steps: s, query_heads, kv_heads, head_dim: d } = shape;
    let [queries, keys] = ops;
    let parts = [
        (0, query_heads, queries),
        (query_heads, kv_heads, keys),
        (query_heads + kv_heads, kv_heads, HeadOps::default()),
    ];
    if is_cpu(&device) {
        let qkv = dense(qkv);
        let heads = query_heads + 2 * kv_heads;
        return parts.map(|(first, count, ops)| {
            let weight = ops.norm.map(|norm| dense(norm.weight.clone()));
            let norm = ops.norm.zip(weight.as_ref()).map(|(norm, weight)| (f32s(weight), norm.eps));
            let out = split_cpu(f32s(&qkv), (heads, first, count), (b, s, d), norm, ops.angles);
            from_f32s(out, [b, count, s, d], &device)
        });
    }
    parts.map(|(first, count, ops)| {
        let x = qkv.clone().narrow(1, first * d, count * d);
        let x = match ops.norm {
            Some(norm) => norm.forward(x.reshape([b * s * count, d])),
            None => x,
        };
        let x = x.reshape([b, s, count, d]).swap_dims(1, 2);
        let Some(angles) = ops.angles else { return x };
        let table = |values: &[f32]| {
            let data = TensorData::new(values.to_vec(), [1, 1, s, angles.pairs]);
            Tensor::<4>::from_data(data, &device)
        };
        rotate(x, &table(&angles.cos), &table(&angles.sin), angles.order)
    })
}

fn split_cpu(
    qkv: &[f32],
    (heads, first, count): (usize, usize, usize),
    (b, s, d): (usize, usize, usize),
    norm: Option<(&[f32], f32)>,
    angles: Option<&Angles>,
) -> Vec<f32> {
    let mut out = vec![0.0; b * count * s * d];
    out.par_chunks_exact_mut(s * d).enumerate().for_each(|(i, rows)| {
        let (sequence, head) = (i / count, first + i % count);
        let from = (sequence * s * heads + head) * d;
        copy_head(rows, &qkv[from..], (heads * d, d), norm, angles);
    });
    out
}

wide! {
    /// Rows of `d` values, `stride` apart, normalised and rotated if asked for.
    fn copy_head<'a>(
        rows: &'a mut [f32],
        x: &'a [f32],
        sizes: (usize, usize),
        norm: Option<(&'a [f32], f32)>,
        angles: Option<&'a Angles>,
    ) -> () {
        let (stride, d) = sizes;
        for (step, out) in rows.chunks_exact_mut(d).enumerate() {
            let x = &x[step * stride..][..d];
            match norm {
                Some((weight, eps)) => row(out, x, weight, eps),
                None => out.copy_from_slice(x),
            }
            let Some(angles) = angles else { continue };
            let pairs = angles.pairs;
            let cos = &angles.cos[step * pairs..][..pairs];
            let sin = &angles.sin[step * pairs..][..pairs];
            match angles.order {
                ChannelOrder::Halves => {
                    let (low, high) = out[..2 * pairs].split_at_mut(pairs);
                    for j in 0..pairs {
                        let (a, b) = (low[j], high[j]);
                        low[j] = a * cos[j] - b * sin[j];
                        high[j] = b * cos[j] + a * sin[j];
                    }
                }
                ChannelOrder::Pairs => {
                    let (pairs, _) = out.as_chunks_mut::<2>();
                    for ((pair, cos), sin) in pairs.iter_mut().zip(cos).zip(sin) {
                        let [a, b] = *pair;
                        *pair = [a * cos - b * sin, b * cos + a * sin];
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn pairs_give_what_halves_give_in_another_order() {
        let (pairs, d, steps) = (3, 8, 2);
        let shape = HeadShape { batch: 1, steps, query_heads: 1, kv_heads: 1, head_dim: d };
        let rotated = |order, row: Vec<f32>| {
            let cos: Vec<f32> = (0..steps * pairs).map(|i| 0.5 + i as f32 / 8.0).collect();
            let sin: Vec<f32> = (0..steps * pairs).map(|i| 1.0 - i as f32 / 4.0).collect();
            let angles = Angles { cos, sin, pairs, order };
            let ops = HeadOps { norm: None, angles: Some(&angles) };
            let rows: Vec<f32> = row.iter().copied().cycle().take(3 * d * steps).collect();
            let rows = from_f32s(rows, [steps, 3 * d], &Device::flex());
            let [queries, _, values] = split_heads(rows, shape, [ops, ops]);
            let host = |x: Tensor<4>| x.into_data().try_into_vec::<f32>().expect("f32");
            (host(queries), host(values))
        };
        let (halves, values) =
            rotated(ChannelOrder::Halves, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        let (mixed, _) = rotated(ChannelOrder::Pairs, vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0, 7.0, 8.0]);
        for (halves, mixed) in halves.chunks(d).zip(mixed.chunks(d)) {
            let reordered = [0, 3, 1, 4, 2, 5, 6, 7].map(|channel| halves[channel]);
            assert_eq!(mixed, reordered);
        }
        assert_eq!(halves[0], 0.5 - 4.0);
        assert_eq!(values[..d], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    }
}
