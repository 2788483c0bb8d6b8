//! One weight on its way to a device.

use burn::Tensor;
use burn::tensor::{Bytes, DType, Device, TensorData};
use kvr_kernels::is_cpu;
use kvr_kernels::linear::{PackedMatrix, Weight};

/// A matrix `[rows, columns]` as it is in its file.
#[derive(Debug, Clone)]
pub(crate) enum Matrix {
    /// Values one after the other.
    Dense(Dense),
    /// Blocks in the memory of the file.
    Packed(PackedMatrix),
}

impl Matrix {
    /// Puts matrices of one width below each other. Where only some are packed, all become f32.
    pub(crate) fn stack(parts: Vec<Self>) -> Self {
        let packed = parts.iter().map(|part| match part {
            Self::Packed(packed) => Some(packed.clone()),
            Self::Dense(_) => None,
        });
        let packed: Option<Vec<PackedMatrix>> = packed.collect();
        match packed.map(PackedMatrix::stack) {
            Some(Ok(packed)) => Self::Packed(packed),
            _ => Self::Dense(Dense::stack(parts.into_iter().map(Self::dense).collect())),
        }
    }

    /// The values, unpacked to f32 where they are packed.
    fn dense(self) -> Dense {
        match self {
            Self::Dense(dense) => dense,
            Self::Packed(packed) => {
                let (rows, columns) = (packed.rows(), packed.columns());
                let mut values = vec![0.0f32; rows * columns];
                let ids: Vec<usize> = (0..rows).collect();
                packed.decode_rows(&ids, &mut values);
                let bytes = bytemuck::cast_slice(&values).to_vec();
                Dense { bytes, dtype: DType::F32, rows, columns }
            }
        }
    }

    /// The matrix whole: as it is in its file on the CPU, in f32 on a GPU.
    pub(crate) fn weight(self, device: &Device) -> Weight {
        match self {
            Self::Packed(packed) if is_cpu(device) => Weight::Packed(Box::new(packed)),
            other => Weight::Dense(other.dense().tensor(device)),
        }
    }

    /// The matrix in pieces of at most `limit` bytes of f32, or whole on the CPU.
    pub(crate) fn pieces(self, limit: usize, device: &Device) -> Vec<Weight> {
        if is_cpu(device) {
            return vec![self.weight(device)];
        }
        self.dense().pieces(limit, device).into_iter().map(Weight::Dense).collect()
    }

    /// A vector in f32: norms and biases are small, and their arithmetic is f32.
    pub(crate) fn vector(self, device: &Device) -> Tensor<1> {
        self.dense().vector(device)
    }
}

/// A dense matrix `[rows, columns]` in the type it has on disk.
#[derive(Debug, Clone)]
pub(crate) struct Dense {
    pub(crate) bytes: Vec<u8>,
    pub(crate) dtype: DType,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

impl Dense {
    /// Puts matrices of one width below each other. Mixed types become f32.
    fn stack(mut parts: Vec<Self>) -> Self {
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
    fn tensor(self, device: &Device) -> Tensor<2> {
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
    fn pieces(self, limit: usize, device: &Device) -> Vec<Tensor<2>> {
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
    fn vector(self, device: &Device) -> Tensor<1> {
        let width = self.rows * self.columns;
        let data = self.into_f32().data();
        Tensor::<2>::from_data(data, (device, DType::F32)).reshape([width])
    }
}
