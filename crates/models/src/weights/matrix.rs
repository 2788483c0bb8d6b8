//! Bytes of one weight on their way to a device.

use burn::Tensor;
use burn::tensor::{Bytes, DType, Device, TensorData};
use kvr_kernels::is_cpu;

/// A dense matrix `[rows, columns]` in the type it has on disk.
#[derive(Debug, Clone)]
pub(crate) struct Matrix {
    pub(crate) bytes: Vec<u8>,
    pub(crate) dtype: DType,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

impl Matrix {
    /// Puts matrices of one width below each other. Mixed types become f32.
    pub(crate) fn stack(mut parts: Vec<Self>) -> Self {
        if parts.len() == 1 {
            return parts.remove(0);
        }
        if parts.iter().any(|p| p.dtype != parts[0].dtype) {
            parts = parts.into_iter().map(Self::into_f32).collect();
        }
        Self {
            dtype: parts[0].dtype,
            rows: parts.iter().map(|p| p.rows).sum(),
            columns: parts[0].columns,
            bytes: parts.iter().map(|p| p.bytes.as_slice()).collect::<Vec<_>>().concat(),
        }
    }

    fn into_f32(self) -> Self {
        let values: Vec<f32> = self.data().iter::<f32>().collect();
        Self { bytes: bytemuck::cast_slice(&values).to_vec(), dtype: DType::F32, ..self }
    }

    fn data(&self) -> TensorData {
        let bytes = Bytes::from_bytes_vec(self.bytes.clone());
        TensorData::from_bytes(bytes, [self.rows, self.columns], self.dtype)
    }

    /// The matrix on a device: on the CPU in its own type, on a GPU in f32, which every adapter
    /// has.
    pub(crate) fn tensor(self, device: &Device) -> Tensor<2> {
        if is_cpu(device) {
            let shape = [self.rows, self.columns];
            let bytes = Bytes::from_bytes_vec(self.bytes);
            Tensor::from_data(
                TensorData::from_bytes(bytes, shape, self.dtype),
                (device, self.dtype),
            )
        } else {
            Tensor::from_data(self.into_f32().data(), (device, DType::F32))
        }
    }

    /// The matrix in pieces of at most `limit` bytes of f32, or whole on the CPU.
    pub(crate) fn pieces(self, limit: usize, device: &Device) -> Vec<Tensor<2>> {
        let rows = (limit / (4 * self.columns)).max(1);
        if is_cpu(device) || self.rows <= rows {
            return vec![self.tensor(device)];
        }
        let row_bytes = self.bytes.len() / self.rows;
        let pieces = self.bytes.chunks(rows * row_bytes).map(|bytes| {
            let (dtype, columns) = (self.dtype, self.columns);
            Self { bytes: bytes.to_vec(), dtype, rows: bytes.len() / row_bytes, columns }
                .tensor(device)
        });
        pieces.collect()
    }

    /// A vector in f32: norms and biases are small, and their arithmetic is f32.
    pub(crate) fn vector(self, device: &Device) -> Tensor<1> {
        let width = self.rows * self.columns;
        let data = self.into_f32().data();
        Tensor::<2>::from_data(data, (device, DType::F32)).reshape([width])
    }
}
