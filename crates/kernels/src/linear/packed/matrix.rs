//! A weight whose rows stay packed in the memory of its file.

use std::ops::Range;
use std::sync::Arc;

use crate::ggml::BlockType;

/// Bytes that outlive their weights: a memory map, or a buffer.
pub type SharedBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// What is wrong with the place or the shape of a packed weight.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackedError {
    /// A row is cut within a block.
    #[error(
        "rows of {columns} values are no whole blocks of {kind}, which have {values} each: \
         quantise the tensor to a type with smaller blocks"
    )]
    Columns {
        /// Values of a row.
        columns: usize,
        /// The type's name.
        kind: &'static str,
        /// Values of a block.
        values: usize,
    },
    /// The weight ends behind its file.
    #[error(
        "a {kind} weight of {rows} rows and {columns} columns from byte {offset} on does not fit \
         into {len} bytes: the file is cut short or its header is wrong"
    )]
    Bounds {
        /// The type's name.
        kind: &'static str,
        /// Rows of the weight.
        rows: usize,
        /// Values of a row.
        columns: usize,
        /// Where the weight begins.
        offset: usize,
        /// Bytes that there are.
        len: usize,
    },
    /// Weights of several widths, or none, below each other.
    #[error("weights of {0:?} columns can't be put below each other: they need one width")]
    Widths(Vec<usize>),
}

/// Rows of one type that lie next to each other.
#[derive(Clone)]
pub(super) struct Part {
    bytes: SharedBytes,
    range: Range<usize>,
    pub(super) kind: BlockType,
    pub(super) rows: usize,
    pub(super) row_bytes: usize,
}

impl Part {
    /// The packed rows of a range.
    pub(super) fn packed(&self, rows: Range<usize>) -> &[u8] {
        let bytes = &(*self.bytes).as_ref()[self.range.clone()];
        &bytes[rows.start * self.row_bytes..rows.end * self.row_bytes]
    }
}

/// A weight `[rows, columns]` of packed rows. Parts of several tensors and types may lie below each
/// other, so that projections of one input are one product; no bytes are copied.
#[derive(Clone)]
pub struct PackedMatrix {
    pub(super) parts: Vec<Part>,
    rows: usize,
    columns: usize,
}

impl std::fmt::Debug for PackedMatrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kinds: Vec<_> = self.parts.iter().map(|part| part.kind.name()).collect();
        write!(f, "PackedMatrix([{}, {}], {kinds:?})", self.rows, self.columns)
    }
}

impl PackedMatrix {
    /// The weight of `[rows, columns]` values that begins at a byte.
    ///
    /// # Errors
    /// If rows are no whole blocks, or the bytes end before the weight does.
    pub fn new(
        bytes: SharedBytes,
        offset: usize,
        kind: BlockType,
        [rows, columns]: [usize; 2],
    ) -> Result<Self, PackedError> {
        let (name, len) = (kind.name(), (*bytes).as_ref().len());
        if !columns.is_multiple_of(kind.values()) {
            return Err(PackedError::Columns { columns, kind: name, values: kind.values() });
        }
        let bounds = PackedError::Bounds { kind: name, rows, columns, offset, len };
        let row_bytes = kind.row_bytes(columns).ok_or_else(|| bounds.clone())?;
        let end = rows.checked_mul(row_bytes).and_then(|size| size.checked_add(offset));
        let end = end.filter(|end| *end <= len).ok_or(bounds)?;
        let part = Part { bytes, range: offset..end, kind, rows, row_bytes };
        Ok(Self { parts: vec![part], rows, columns })
    }

    /// Puts weights of one width below each other.
    ///
    /// # Errors
    /// If there are none, or their widths differ.
    pub fn stack(weights: Vec<Self>) -> Result<Self, PackedError> {
        let columns = weights.first().map_or(0, |first| first.columns);
        if weights.is_empty() || weights.iter().any(|w| w.columns != columns) {
            return Err(PackedError::Widths(weights.iter().map(|w| w.columns).collect()));
        }
        let rows = weights.iter().map(|w| w.rows).sum();
        let parts = weights.into_iter().flat_map(|w| w.parts).collect();
        Ok(Self { parts, rows, columns })
    }

    /// Rows: outputs of the product.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns: inputs of the product.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Bytes of the packed rows.
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.range.len()).sum()
    }

    /// The types of the parts, from above.
    pub fn kinds(&self) -> impl Iterator<Item = BlockType> {
        self.parts.iter().map(|part| part.kind)
    }

    /// Decodes a row, such as the embedding of a token, into `columns` values.
    ///
    /// # Panics
    /// If there is no such row, or `values` has another length.
    pub fn decode_row(&self, row: usize, values: &mut [f32]) {
        let mut at = row;
        for part in &self.parts {
            if at < part.rows {
                return part.kind.decode_row(part.packed(at..at + 1), values);
            }
            at -= part.rows;
        }
        panic!("row {row} of a weight of {} rows", self.rows);
    }

    /// Decodes rows in the order that they are named in: `[ids, columns]`.
    ///
    /// # Panics
    /// If there is no such row, or `values` has another length.
    pub fn decode_rows(&self, ids: &[usize], values: &mut [f32]) {
        assert_eq!(values.len(), ids.len() * self.columns, "size of the decoded rows");
        if self.columns > 0 {
            for (id, values) in ids.iter().zip(values.chunks_exact_mut(self.columns)) {
                self.decode_row(*id, values);
            }
        }
    }

    /// Ranges of at most `most` rows, each within a part, from above.
    pub(super) fn ranges(&self, most: usize) -> impl Iterator<Item = (&Part, Range<usize>)> {
        self.parts.iter().flat_map(move |part| {
            (0..part.rows)
                .step_by(most)
                .map(move |from| (part, from..part.rows.min(from.saturating_add(most))))
        })
    }
}
