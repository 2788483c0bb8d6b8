//! A decoder's operations between its matrix products: Rust on the CPU, where Burn's element-wise
//! operations are scalar; Burn's tensor operations elsewhere.

mod gated;
mod heads;
mod norm;
mod soft_cap;

use burn::Tensor;
use burn::backend::Flex;
use burn::tensor::{Device, TensorData};
use burn_flex::FlexTensor;

pub use gated::{Activation, gated};
pub use heads::{Angles, HeadOps, HeadShape, split_heads};
pub use norm::Norm;
pub use soft_cap::soft_cap;

/// The CPU primitive behind a tensor, dense and in the order of its axes.
pub(crate) fn dense<const D: usize>(tensor: Tensor<D>) -> FlexTensor {
    tensor.try_into_primitive::<Flex>().expect("called for CPU tensors only").to_contiguous()
}

/// The values of a dense f32 tensor.
pub(crate) fn f32s(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("activations are f32, and were made dense")
}

/// A CPU tensor of these values.
pub(crate) fn from_f32s<const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    device: &Device,
) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}
