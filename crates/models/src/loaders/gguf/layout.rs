//! One GGUF file: header, metadata, and where its tensors lie.
//!
//! Source: the GGUF specification in ggml's repository (versions 2 and 3, little-endian). Unlike
//! ggml's reader this one lets tensors stand in any order and with gaps between them, but not on
//! top of each other. No parser crate is used: ggus, gguf-rs and gguf-rs-lib allocate what a number
//! in the file says before they know that the file has as much.

use super::cursor::{Cursor, quoted};
use super::metadata::{Index, Metadata};
use super::tensors::{self, TensorInfo};
use crate::ModelError;

/// What the first bytes of a file say.
pub(super) struct Layout {
    pub(super) index: Index,
    pub(super) tensors: Vec<TensorInfo>,
}

/// Where no `general.alignment` is given.
const ALIGNMENT: usize = 32;

impl Layout {
    /// Reads everything but the tensors' values; `file` is for messages.
    pub(super) fn read(bytes: &[u8], file: &str) -> Result<Self, ModelError> {
        let mut cursor = Cursor::new(bytes, 0);
        version(&mut cursor, file)?;
        let header = |f: super::cursor::Fault| f.inside(file, "header");
        let tensor_count = cursor.count(tensors::LEAST, "tensors").map_err(header)?;
        let key_count = cursor.count(Index::least_bytes(), "keys").map_err(header)?;
        let index = Index::read(&mut cursor, key_count, file)?;
        let alignment = alignment(&Metadata { file, bytes, index: &index })?;
        let mut infos = Vec::new();
        for number in 1..=tensor_count {
            let info = tensors::Raw::read(&mut cursor, number, tensor_count, file)?;
            infos.push(info);
        }
        let start = cursor.at().checked_next_multiple_of(alignment);
        let start = start.ok_or_else(|| {
            ModelError::file(file, "general.alignment is larger than any file: fetch it again")
        })?;
        let tensors = tensors::place(infos, start, alignment, bytes.len(), file)?;
        Ok(Self { index, tensors })
    }
}

fn version(cursor: &mut Cursor<'_>, file: &str) -> Result<(), ModelError> {
    let magic: [u8; 4] = cursor.array().map_err(|f| f.inside(file, "header"))?;
    if &magic != b"GGUF" {
        return Err(ModelError::file(
            file,
            format!(
                "begins with {}, not with GGUF: give a file that llama.cpp's converter wrote",
                quoted(&String::from_utf8_lossy(&magic))
            ),
        ));
    }
    let number = cursor.u32().map_err(|f| f.inside(file, "header"))?;
    let problem = match number {
        2 | 3 => return Ok(()),
        1 => "is GGUF version 1, which is not supported: convert the model again".to_owned(),
        n if (1..=3).contains(&n.swap_bytes()) => "is big-endian, which is not supported: \
            run llama.cpp's gguf_convert_endian.py on it"
            .to_owned(),
        n => format!("is GGUF version {n}, and kvr reads 2 and 3: convert or fetch it again"),
    };
    Err(ModelError::file(file, problem))
}

fn alignment(metadata: &Metadata<'_>) -> Result<usize, ModelError> {
    const KEY: &str = "general.alignment";
    match metadata.size(KEY)? {
        None => Ok(ALIGNMENT),
        Some(n) if n.is_power_of_two() => Ok(n),
        Some(n) => {
            Err(metadata
                .error(KEY, format!("is {n}, expected a power of two: fetch the file again")))
        }
    }
}
