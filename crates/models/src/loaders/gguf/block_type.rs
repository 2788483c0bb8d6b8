//! The types that a tensor in a GGUF may have, by ggml's numbers.
//!
//! Source: ggml's `ggml_type` and `GGML_QUANT_SIZES` of the Python package `gguf`. A tensor is a
//! run of blocks, each a few values wide; the plain types are blocks of one value.

/// A tensor's type: how a run of values becomes bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, non_camel_case_types)]
pub enum BlockType {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    IQ4_NL,
    IQ4_XS,
    MXFP4,
}

/// ggml's number, the name, values in a block and bytes of a block.
const TABLE: [(BlockType, u32, &str, usize, usize); 16] = [
    (BlockType::F32, 0, "F32", 1, 4),
    (BlockType::F16, 1, "F16", 1, 2),
    (BlockType::BF16, 30, "BF16", 1, 2),
    (BlockType::Q4_0, 2, "Q4_0", 32, 18),
    (BlockType::Q4_1, 3, "Q4_1", 32, 20),
    (BlockType::Q5_0, 6, "Q5_0", 32, 22),
    (BlockType::Q5_1, 7, "Q5_1", 32, 24),
    (BlockType::Q8_0, 8, "Q8_0", 32, 34),
    (BlockType::Q2_K, 10, "Q2_K", 256, 84),
    (BlockType::Q3_K, 11, "Q3_K", 256, 110),
    (BlockType::Q4_K, 12, "Q4_K", 256, 144),
    (BlockType::Q5_K, 13, "Q5_K", 256, 176),
    (BlockType::Q6_K, 14, "Q6_K", 256, 210),
    (BlockType::IQ4_NL, 20, "IQ4_NL", 32, 18),
    (BlockType::IQ4_XS, 23, "IQ4_XS", 256, 136),
    (BlockType::MXFP4, 39, "MXFP4", 32, 17),
];

impl BlockType {
    /// Every type that can be read.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }

    /// The type with ggml's number `id`.
    pub fn from_ggml_id(id: u32) -> Option<Self> {
        TABLE.iter().find(|row| row.1 == id).map(|row| row.0)
    }

    /// ggml's name, such as `Q4_K`.
    pub fn name(self) -> &'static str {
        self.row().2
    }

    /// Values in one block.
    pub fn values(self) -> usize {
        self.row().3
    }

    /// Bytes of one block.
    pub fn bytes(self) -> usize {
        self.row().4
    }

    fn row(self) -> &'static (Self, u32, &'static str, usize, usize) {
        // The rows stand in the order of the variants; a test says so.
        &TABLE[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_the_variants() {
        for (at, row) in TABLE.iter().enumerate() {
            assert_eq!(row.0 as usize, at);
            assert_eq!(BlockType::from_ggml_id(row.1), Some(row.0));
            assert_eq!(format!("{:?}", row.0), row.0.name());
        }
    }
}
