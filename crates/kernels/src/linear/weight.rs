//! A weight as it came from its file: values on a device, or blocks in the file's memory.

use burn::Tensor;
use burn::tensor::Device;

use super::linear;
use super::packed::{self, PackedMatrix};
use crate::device::is_cpu;
use crate::layers::{dense, f32s, from_f32s};

/// A weight `[out, in]`.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a model has a few hundred of them")]
pub enum Weight {
    /// Values in f32, half precision or bfloat16 on a device.
    Dense(Tensor<2>),
    /// Rows as they are packed in their file, which the CPU reads.
    Packed(Box<PackedMatrix>),
}

impl Weight {
    /// `[out, in]`.
    pub fn dims(&self) -> [usize; 2] {
        match self {
            Self::Dense(weight) => weight.dims(),
            Self::Packed(weight) => [weight.rows(), weight.columns()],
        }
    }

    /// Multiplies rows `[N, in]` with the weight: `[N, out]`.
    ///
    /// # Panics
    /// If the weight is packed and `x` lies on a GPU.
    pub fn product(&self, x: Tensor<2>) -> Tensor<2> {
        let weight = match self {
            Self::Dense(weight) => return linear(x, weight),
            Self::Packed(weight) => weight,
        };
        let (device, [n, _]) = (x.device(), x.dims());
        let mut out = vec![0.0; n * weight.rows()];
        packed::linear(f32s(&dense(x)), weight, &mut out, n);
        from_f32s(out, [n, weight.rows()], &device)
    }
}

/// Rows of a packed weight as f32 on a CPU, such as the embeddings of tokens: `[ids, in]`.
///
/// # Panics
/// If the weight has no such row.
pub fn packed_rows(weight: &PackedMatrix, ids: &[usize], device: &Device) -> Tensor<2> {
    assert!(is_cpu(device), "packed rows are read by the CPU");
    let mut values = vec![0.0; ids.len() * weight.columns()];
    weight.decode_rows(ids, &mut values);
    from_f32s(values, [ids.len(), weight.columns()], device)
}
