//! A weight that may be stored in several pieces.

use burn::Tensor;
use burn::tensor::{DType, Device};

use kvr_kernels::linear::{Weight, packed_rows};

/// `y = x · Wᵀ + b`. The pieces of `W` `[out, in]` follow each other along `out`: a GPU limits how
/// much one buffer may hold.
#[derive(Debug)]
pub(crate) struct Linear {
    pub(crate) pieces: Vec<Weight>,
    pub(crate) bias: Option<Tensor<1>>,
}

impl Linear {
    /// `[N, in]` to `[N, out]`.
    pub(crate) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let y = match self.pieces.as_slice() {
            [whole] => whole.product(x),
            pieces => {
                let parts = pieces.iter().map(|w| w.product(x.clone()));
                Tensor::cat(parts.collect(), 1)
            }
        };
        match &self.bias {
            Some(bias) => y + bias.clone().unsqueeze(),
            None => y,
        }
    }

    /// The whole matrix in f32, `[out, in]`.
    pub(crate) fn weight(&self) -> Tensor<2> {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Weight::Dense(weight) => weight.clone().cast(DType::F32),
            Weight::Packed(packed) => {
                let all: Vec<usize> = (0..packed.rows()).collect();
                packed_rows(packed, &all, &Device::flex())
            }
        });
        Tensor::cat(pieces.collect(), 0)
    }
}
