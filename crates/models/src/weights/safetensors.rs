//! Weights in safetensors files: one file, or shards with an index. Files are mapped, not read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use burn::tensor::DType;
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use super::content::{Content, sha256};
use super::{Dense, Matrix, Weights};
use crate::ModelError;

/// One tensor inside a file.
#[derive(Debug, Clone)]
struct Entry {
    file: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    start: usize,
    len: usize,
}

/// Every tensor of a model's files.
pub(crate) struct TensorFiles {
    files: Vec<(String, Content)>,
    entries: BTreeMap<String, Entry>,
    taken: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// What an index file is called.
pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// What a model's only file is called.
pub(crate) const SINGLE: &str = "model.safetensors";

/// The shard files that an index names.
pub(crate) fn shards(index: &[u8], file: &str) -> Result<BTreeMap<String, String>, ModelError> {
    let index: Index = serde_json::from_slice(index).map_err(|e| {
        ModelError::file(file, format!("is no valid index of shards ({e}): fetch the file again"))
    })?;
    for shard in index.weight_map.values() {
        if Path::new(shard).components().count() != 1 || shard.starts_with('.') {
            return Err(ModelError::file(
                file,
                format!("names the shard '{shard}', which is no plain file name"),
            ));
        }
    }
    Ok(index.weight_map)
}

impl TensorFiles {
    /// Opens the weights in a folder.
    pub(crate) fn open(folder: &Path) -> Result<Self, ModelError> {
        let mut files =
            Self { files: Vec::new(), entries: BTreeMap::new(), taken: BTreeSet::new() };
        let index = folder.join(INDEX);
        if !index.exists() {
            files.map(&folder.join(SINGLE))?;
            return Ok(files);
        }
        let text = read(&index)?;
        let weight_map = shards(&text, &index.display().to_string())?;
        for shard in weight_map.values().collect::<BTreeSet<_>>() {
            let path = folder.join(shard);
            if !path.exists() {
                return Err(ModelError::file(
                    path.display().to_string(),
                    format!("is named by {INDEX} but is not there: fetch the missing shard"),
                ));
            }
            files.map(&path)?;
        }
        if let Some((name, shard)) =
            weight_map.iter().find(|(name, _)| !files.entries.contains_key(*name))
        {
            return Err(ModelError::file(
                index.display().to_string(),
                format!("says that {name} is in {shard}, but it is not: fetch both files again"),
            ));
        }
        Ok(files)
    }

    /// Weights that are part of the program.
    pub(crate) fn embedded(name: &str, bytes: &'static [u8]) -> Result<Self, ModelError> {
        let mut files =
            Self { files: Vec::new(), entries: BTreeMap::new(), taken: BTreeSet::new() };
        files.add(name.to_owned(), Content::of(bytes))?;
        Ok(files)
    }

    fn map(&mut self, path: &Path) -> Result<(), ModelError> {
        self.add(path.display().to_string(), Content::map(path)?)
    }

    fn add(&mut self, name: String, content: Content) -> Result<(), ModelError> {
        let bytes = content.bytes();
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| {
            ModelError::file(
                &name,
                format!("is no valid safetensors file ({e}): fetch the file again"),
            )
        })?;
        for (tensor, view) in tensors.iter() {
            let data = view.data();
            let entry = Entry {
                file: self.files.len(),
                dtype: view.dtype(),
                shape: view.shape().to_vec(),
                start: data.as_ptr() as usize - bytes.as_ptr() as usize,
                len: data.len(),
            };
            if self.entries.insert(tensor.to_owned(), entry).is_some() {
                return Err(ModelError::file(
                    &name,
                    format!("holds {tensor}, and another shard does too"),
                ));
            }
        }
        self.files.push((name, content));
        Ok(())
    }

    /// Name of the file that a message about `entry` should name.
    fn file_of(&self, entry: &Entry) -> &str {
        &self.files[entry.file].0
    }

    fn take(&mut self, name: &str, shape: &[usize]) -> Result<(Vec<u8>, DType), ModelError> {
        let Some(entry) = self.entries.get(name) else {
            let files: Vec<&str> = self.files.iter().map(|(file, _)| file.as_str()).collect();
            return Err(ModelError::file(
                files.join(", "),
                format!(
                    "has no tensor {name}, which config.json calls for: the two do not belong \
                     together"
                ),
            ));
        };
        let error = |problem: String| ModelError::file(self.file_of(entry), problem);
        if entry.shape != shape {
            return Err(error(format!(
                "{name} has shape {:?}, but config.json makes it {shape:?}: the two do not belong \
                 together",
                entry.shape
            )));
        }
        let dtype = match entry.dtype {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            other => {
                return Err(error(format!(
                    "{name} is stored as {other:?}; kvr reads F32, F16 and BF16"
                )));
            }
        };
        let bytes = &self.files[entry.file].1.bytes()[entry.start..][..entry.len];
        if let Some(at) = not_finite(bytes, dtype) {
            return Err(error(format!(
                "{name} holds NaN or infinity (value {at}): the file is damaged, or was saved by a \
                 failed training run"
            )));
        }
        self.taken.insert(name.to_owned());
        Ok((bytes.to_vec(), dtype))
    }

    /// SHA-256 of the files, in order: of the only file itself, or of the shards' digests.
    pub(crate) fn sha256(&self) -> String {
        sha256(self.files.iter().map(|(_, content)| content.bytes()))
    }
}

impl Weights for TensorFiles {
    fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Matrix, ModelError> {
        let (bytes, dtype) = self.take(name, &shape)?;
        Ok(Matrix::Dense(Dense { bytes, dtype, rows: shape[0], columns: shape[1] }))
    }

    fn vector(&mut self, name: &str, width: usize) -> Result<Matrix, ModelError> {
        let (bytes, dtype) = self.take(name, &[width])?;
        Ok(Matrix::Dense(Dense { bytes, dtype, rows: width, columns: 1 }))
    }

    fn finish(&mut self, endings: &[&str], beginnings: &[&str]) -> Result<(), ModelError> {
        let extra = self.entries.iter().find(|(name, _)| {
            !self.taken.contains(*name)
                && !endings.iter().any(|end| name.ends_with(end))
                && !beginnings.iter().any(|start| name.starts_with(start))
        });
        match extra {
            None => Ok(()),
            Some((name, entry)) => Err(ModelError::file(
                self.file_of(entry),
                format!(
                    "holds {name}, which config.json has no place for: the two do not belong \
                     together"
                ),
            )),
        }
    }
}

/// Index of the first value that is NaN or infinite: all ones in the exponent.
fn not_finite(bytes: &[u8], dtype: DType) -> Option<usize> {
    let half = |mask: u16| {
        bytes
            .par_chunks_exact(2)
            .position_first(|b| u16::from_le_bytes([b[0], b[1]]) & mask == mask)
    };
    match dtype {
        DType::F16 => half(0x7c00),
        DType::BF16 => half(0x7f80),
        _ => bytes.par_chunks_exact(4).position_first(|b| {
            u32::from_le_bytes([b[0], b[1], b[2], b[3]]) & 0x7f80_0000 == 0x7f80_0000
        }),
    }
}

/// Reads a small file whole.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, ModelError> {
    std::fs::read(path).map_err(|source| ModelError::Read { path: PathBuf::from(path), source })
}
