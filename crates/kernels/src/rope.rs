//! Rotary position embedding (Su et al. 2021): which channels of a head rotate together, and by how
//! much a position.

use std::sync::Arc;

use burn::Tensor;
use burn::tensor::TensorData;

/// Which channels rotate together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChannelOrder {
    /// Channel `i` with `i + R/2` of the `R` rotated ones, as in Hugging Face's checkpoints.
    #[default]
    Halves,
    /// Channel `2i` with `2i + 1`, as in GGUF files of architecture llama.
    Pairs,
}

impl ChannelOrder {
    /// `halves` or `pairs`, as records carry it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Halves => "halves",
            Self::Pairs => "pairs",
        }
    }
}

/// How a layer rotates keys by their position. The first `R = 2 · frequencies` channels of a head
/// are rotated and the others are not; a layer without position embedding has no frequencies.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Angle per position of each of the `R/2` pairs of channels, in radians.
    pub frequencies: Arc<[f32]>,
    /// Which channels are a pair.
    pub order: ChannelOrder,
}

impl Rope {
    /// Rotates rows `[B, H, S, D]` by their positions, of which the first is `first`.
    pub fn rotate(&self, rows: Tensor<4>, first: usize) -> Tensor<4> {
        self.apply(rows, first, 1.0)
    }

    /// The inverse of [`rotate`](Self::rotate): rows as they are before RoPE.
    pub fn inverse(&self, rows: Tensor<4>, first: usize) -> Tensor<4> {
        self.apply(rows, first, -1.0)
    }

    fn apply(&self, rows: Tensor<4>, first: usize, sign: f32) -> Tensor<4> {
        let (s, pairs) = (rows.dims()[2], self.frequencies.len());
        if pairs == 0 {
            return rows;
        }
        let angles = (first..first + s)
            .flat_map(|position| self.frequencies.iter().map(move |f| position as f32 * f));
        let (sin, cos): (Vec<f32>, Vec<f32>) = angles.map(f32::sin_cos).unzip();
        let table = |values: Vec<f32>| {
            Tensor::<4>::from_data(TensorData::new(values, [1, 1, s, pairs]), &rows.device())
        };
        let (cos, sin) = (table(cos), table(sin) * sign);
        rotate(rows, &cos, &sin, self.order)
    }
}

/// Rotates the first `R` channels of `x` `[B, H, S, D]` by angles whose cosines and sines are
/// `[1, 1, S, R/2]`, in tensor operations of any device.
pub fn rotate(x: Tensor<4>, cos: &Tensor<4>, sin: &Tensor<4>, order: ChannelOrder) -> Tensor<4> {
    let [b, h, s, d] = x.dims();
    let pairs = cos.dims()[3];
    let width = 2 * pairs;
    // One of a pair, `[B, H, S, R/2]`.
    let member = |which: usize| match order {
        ChannelOrder::Halves => x.clone().narrow(3, which * pairs, pairs),
        ChannelOrder::Pairs => {
            let channels = x.clone().narrow(3, 0, width).reshape([b, h, s, pairs, 2]);
            channels.narrow(4, which, 1).reshape([b, h, s, pairs])
        }
    };
    let (low, high) = (member(0), member(1));
    let first = low.clone() * cos.clone() - high.clone() * sin.clone();
    let second = high * cos.clone() + low * sin.clone();
    let both = match order {
        ChannelOrder::Halves => Tensor::cat(vec![first, second], 3),
        ChannelOrder::Pairs => {
            let beside = vec![first.unsqueeze_dim::<5>(4), second.unsqueeze_dim::<5>(4)];
            Tensor::cat(beside, 4).reshape([b, h, s, width])
        }
    };
    match d - width {
        0 => both,
        rest => Tensor::cat(vec![both, x.narrow(3, width, rest)], 3),
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn rows(values: &[f32]) -> Tensor<4> {
        Tensor::<1>::from_data(values, &Device::flex()).reshape([1, 1, 1, values.len()])
    }

    fn rotated(order: ChannelOrder, frequencies: &[f32], values: &[f32]) -> Vec<f32> {
        let rope = Rope { frequencies: frequencies.into(), order };
        let there = rope.rotate(rows(values), 3);
        let back = rope.inverse(there.clone(), 3).into_data().try_into_vec::<f32>();
        for (got, want) in back.expect("f32").iter().zip(values) {
            assert!((got - want).abs() < 1e-6, "the inverse undoes it");
        }
        there.into_data().try_into_vec::<f32>().expect("f32")
    }

    #[test]
    fn pairs_are_halves_in_another_order_and_the_rest_stays() {
        let frequencies = [1.0, 0.25];
        let halves = rotated(ChannelOrder::Halves, &frequencies, &[1.0, 2.0, 3.0, 4.0, 5.0]);
        let pairs = rotated(ChannelOrder::Pairs, &frequencies, &[1.0, 3.0, 2.0, 4.0, 5.0]);
        assert_eq!(pairs, [halves[0], halves[2], halves[1], halves[3], 5.0]);
        let (sin, cos) = 3f32.sin_cos();
        assert!((halves[0] - (cos - 3.0 * sin)).abs() < 1e-6);
        assert_eq!(rotated(ChannelOrder::Halves, &[], &[1.0, 2.0]), [1.0, 2.0]);
    }
}
