//! A GGUF as a source of weights by the names that Hugging Face has for them.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::DType;
use kvr_kernels::ggml::BlockType;
use kvr_kernels::linear::PackedMatrix;

use super::Gguf;
use crate::ModelError;
use crate::weights::{Dense, Matrix, Weights};

/// The tensors of a GGUF. Packed ones stay in the memory of the file.
pub(crate) struct GgufWeights<'a> {
    gguf: &'a Gguf,
    /// Hugging Face's name of a tensor to GGUF's.
    names: BTreeMap<String, &'a str>,
    taken: BTreeSet<String>,
}

impl<'a> GgufWeights<'a> {
    /// # Errors
    /// When the architecture is unknown.
    pub(crate) fn new(gguf: &'a Gguf) -> Result<Self, ModelError> {
        let mut names = BTreeMap::new();
        for (name, _) in gguf.tensors() {
            if let Some(theirs) = gguf.hugging_face_name(name)? {
                names.insert(theirs, name);
            }
        }
        Ok(Self { gguf, names, taken: BTreeSet::new() })
    }

    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Matrix, ModelError> {
        let wrong = |problem: String| ModelError::file(self.gguf.file(), problem);
        let found = self.names.get(name).and_then(|own| self.gguf.tensors.get_key_value(*own));
        let Some((own, (part, tensor))) = found else {
            return Err(wrong(format!(
                "has no tensor for {name}: the file is not complete, or its metadata are another \
                 model's"
            )));
        };
        if tensor.shape != shape {
            return Err(wrong(format!(
                "tensor {own} is {:?}, and the metadata say {shape:?}: fetch the file again",
                tensor.shape
            )));
        }
        self.taken.insert(name.to_owned());
        let (rows, columns) = (shape[0], shape.get(1).copied().unwrap_or(1));
        let content = &self.gguf.parts[*part].content;
        let dtype = match tensor.block_type {
            BlockType::F32 => DType::F32,
            BlockType::F16 => DType::F16,
            BlockType::BF16 => DType::BF16,
            packed => {
                // A packed vector is one row.
                let shape = if shape.len() == 1 { [1, rows] } else { [rows, columns] };
                let packed = PackedMatrix::new(content.shared(), tensor.bytes.start, packed, shape);
                return packed.map(Matrix::Packed).map_err(|e| wrong(format!("tensor {own}: {e}")));
            }
        };
        let bytes = content.bytes()[tensor.bytes.clone()].to_vec();
        Ok(Matrix::Dense(Dense { bytes, dtype, rows, columns }))
    }
}

impl Weights for GgufWeights<'_> {
    fn contains(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Matrix, ModelError> {
        self.take(name, &shape)
    }

    fn vector(&mut self, name: &str, width: usize) -> Result<Matrix, ModelError> {
        self.take(name, &[width])
    }

    fn finish(&mut self, endings: &[&str], beginnings: &[&str]) -> Result<(), ModelError> {
        let extra = self.names.iter().find(|(name, _)| {
            !self.taken.contains(*name)
                && !endings.iter().any(|end| name.ends_with(end))
                && !beginnings.iter().any(|start| name.starts_with(start))
        });
        match extra {
            None => Ok(()),
            Some((name, own)) => Err(ModelError::file(
                self.gguf.file(),
                format!(
                    "holds tensor {own} ({name}), which this model's decoder has no place for: it \
                     is another kind of model than its metadata say, and can't be run right"
                ),
            )),
        }
    }
}
