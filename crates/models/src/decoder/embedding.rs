//! The embedding: a row of weights for each token.

use burn::Tensor;
use burn::tensor::{DType, Device, Int, TensorData};
use kvr_kernels::linear::{Weight, packed_rows};

use crate::ModelError;

/// Rows of the embedding, and what they are multiplied by.
#[derive(Debug)]
pub(crate) struct Embedding {
    /// `[vocabulary, hidden]`. Stays on the CPU: rows are looked up, and a GPU may not bind it.
    pub(super) rows: Weight,
    pub(super) scale: f32,
}

impl Embedding {
    /// The rows of `tokens` on a device, `[tokens, hidden]`, f32.
    pub(super) fn forward(&self, tokens: &[u32], device: &Device) -> Result<Tensor<2>, ModelError> {
        let [vocabulary, _] = self.rows.dims();
        if let Some(bad) = tokens.iter().find(|t| **t as usize >= vocabulary) {
            return Err(ModelError::Input(format!(
                "token {bad} is outside the vocabulary of {vocabulary}: the text was tokenised for \
                 another model"
            )));
        }
        let cpu = Device::flex();
        let rows = match &self.rows {
            Weight::Dense(rows) => {
                let ids: Vec<i32> = tokens.iter().map(|t| *t as i32).collect();
                let data = TensorData::new(ids, [tokens.len()]);
                let ids = Tensor::<1, Int>::from_data(data, (&cpu, DType::I32));
                rows.clone().select(0, ids).cast(DType::F32)
            }
            Weight::Packed(rows) => {
                let ids: Vec<usize> = tokens.iter().map(|t| *t as usize).collect();
                packed_rows(rows, &ids, &cpu)
            }
        };
        let rows = if self.scale == 1.0 { rows } else { rows * self.scale };
        Ok(if cpu == *device { rows } else { rows.to_device(device) })
    }
}
