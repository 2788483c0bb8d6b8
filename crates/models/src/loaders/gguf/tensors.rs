//! Names, shapes and places of tensors, checked against each other and against the file.

use std::ops::Range;

use super::BlockType;
use super::cursor::{Cursor, Fault, quoted};
use super::type_names::{describe, supported};
use crate::ModelError;

/// Fewest bytes that describe a tensor: a name of one byte, one dimension, type and offset.
pub(super) const LEAST: usize = 8 + 1 + 4 + 8 + 4 + 8;

/// ggml's limit.
const MOST_DIMENSIONS: u32 = 4;

/// A tensor that lies inside its file.
#[derive(Debug, Clone)]
pub(super) struct TensorInfo {
    pub(super) name: String,
    pub(super) block_type: BlockType,
    /// Outermost dimension first.
    pub(super) shape: Vec<usize>,
    /// Its bytes in the file.
    pub(super) bytes: Range<usize>,
}

/// A tensor as the file announces it.
pub(super) struct Raw {
    name: String,
    block_type: BlockType,
    shape: Vec<usize>,
    len: usize,
    offset: u64,
    /// Where its description stands.
    at: usize,
}

impl Raw {
    /// Reads the description of tensor `number` of `count`.
    pub(super) fn read(
        cursor: &mut Cursor<'_>,
        number: usize,
        count: usize,
        file: &str,
    ) -> Result<Self, ModelError> {
        let at = cursor.at();
        let what = || format!("tensor {number} of {count}");
        let name = cursor.text().map_err(|f| f.inside(file, &what()))?;
        Self::described(cursor, name, at)
            .map_err(|f| f.inside(file, &format!("tensor {}", quoted(name))))
    }

    fn described(cursor: &mut Cursor<'_>, name: &str, at: usize) -> Result<Self, Fault> {
        let fault = |problem: String| Fault { at, problem };
        let rank = cursor.u32()?;
        if !(1..=MOST_DIMENSIONS).contains(&rank) {
            return Err(fault(format!(
                "{rank} dimensions, expected 1 to {MOST_DIMENSIONS}: the file is damaged, \
                 fetch it again"
            )));
        }
        let mut shape = Vec::new();
        for _ in 0..rank {
            let size = usize::try_from(cursor.u64()?).ok().filter(|size| *size > 0);
            shape.push(size.ok_or_else(|| {
                fault(
                    "a dimension of 0 or beyond memory: the file is damaged, fetch it again".into(),
                )
            })?);
        }
        let id = cursor.u32()?;
        let block_type = BlockType::from_ggml_id(id).ok_or_else(|| {
            fault(format!(
                "its type {} is not supported ({} are): choose another quantisation",
                describe(id),
                supported()
            ))
        })?;
        let offset = cursor.u64()?;
        let row = shape[0];
        if !row.is_multiple_of(block_type.values()) {
            return Err(fault(format!(
                "rows of {row} values are no whole blocks of {} ({} values each): the file is \
                 damaged, fetch it again",
                block_type.name(),
                block_type.values()
            )));
        }
        let values = shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
        let len = values.and_then(|n| (n / block_type.values()).checked_mul(block_type.bytes()));
        let len = len.ok_or_else(|| {
            fault(format!("shape {shape:?} is beyond memory: the file is damaged, fetch it again"))
        })?;
        // The file has the innermost dimension first.
        shape.reverse();
        Ok(Self { name: name.to_owned(), block_type, shape, len, offset, at })
    }

    fn place(&self, start: usize, alignment: usize, end: usize) -> Result<Range<usize>, String> {
        let offset = usize::try_from(self.offset).ok();
        let from = offset.and_then(|offset| start.checked_add(offset));
        let to = from.and_then(|from| from.checked_add(self.len));
        match (from, to) {
            (Some(_), _) if !self.offset.is_multiple_of(alignment as u64) => Err(format!(
                "offset {} is no multiple of the alignment {alignment}: the file is damaged, fetch \
                 it again",
                self.offset
            )),
            (Some(from), Some(to)) if to <= end => Ok(from..to),
            (Some(from), Some(to)) => Err(format!(
                "bytes {from} to {to} belong to it, but the file has {end}: it is truncated or \
                 damaged, fetch it again"
            )),
            _ => Err(format!(
                "offset {} is beyond any file: the file is damaged, fetch it again",
                self.offset
            )),
        }
    }
}

/// Gives each tensor its bytes: offsets count from `start`, `end` is the length of the file.
pub(super) fn place(
    raw: Vec<Raw>,
    start: usize,
    alignment: usize,
    end: usize,
    file: &str,
) -> Result<Vec<TensorInfo>, ModelError> {
    let mut placed = Vec::with_capacity(raw.len());
    for tensor in raw {
        let bytes = tensor.place(start, alignment, end).map_err(|problem| {
            Fault { at: tensor.at, problem }
                .inside(file, &format!("tensor {}", quoted(&tensor.name)))
        })?;
        let Raw { name, block_type, shape, .. } = tensor;
        placed.push(TensorInfo { name, block_type, shape, bytes });
    }
    let mut order: Vec<&TensorInfo> = placed.iter().collect();
    order.sort_by_key(|tensor| (tensor.bytes.start, tensor.bytes.end));
    for pair in order.windows(2) {
        if pair[1].bytes.start < pair[0].bytes.end {
            return Err(ModelError::file(
                file,
                format!(
                    "tensors {} (bytes {:?}) and {} (bytes {:?}) overlap: the file is damaged, \
                     fetch it again",
                    quoted(&pair[0].name),
                    pair[0].bytes,
                    quoted(&pair[1].name),
                    pair[1].bytes
                ),
            ));
        }
    }
    Ok(placed)
}
