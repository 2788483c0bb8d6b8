//! The types that weights have in GGUF files, as blocks of ggml, and their decoding to f32.
//!
//! Layouts are those of ggml (`ggml-common.h` in llama.cpp): a row is a sequence of blocks, and a
//! block holds its codes and their scales together. Values equal the reference decoders of the
//! Python package `gguf` bit for bit. Types that only importance matrices make (IQ1 to IQ3) and
//! the ternary ones are not read.

mod block;
mod codebook;
mod dense;
mod k_quants;
mod legacy;

pub(crate) use block::{Block, MAX_SCALES};
pub(crate) use codebook::{FP4, IQ4, Iq4Nl, Iq4Xs, Mxfp4};
pub(crate) use k_quants::{Q2K, Q3K, Q4K, Q5K, Q6K};
pub(crate) use legacy::{Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};

/// The type of a tensor in a GGUF file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // The names are ggml's and say all there is to say.
#[allow(non_camel_case_types)]
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

/// Runs `$packed` with `$codec` standing for the [`Block`] of a type, or `$dense` for the types
/// that are floating-point numbers.
macro_rules! with_codec {
    ($kind:expr, $codec:ident => $packed:expr, dense => $dense:expr) => {
        match $kind {
            $crate::ggml::BlockType::F32
            | $crate::ggml::BlockType::F16
            | $crate::ggml::BlockType::BF16 => $dense,
            $crate::ggml::BlockType::Q4_0 => {
                let $codec = $crate::ggml::Q4_0;
                $packed
            }
            $crate::ggml::BlockType::Q4_1 => {
                let $codec = $crate::ggml::Q4_1;
                $packed
            }
            $crate::ggml::BlockType::Q5_0 => {
                let $codec = $crate::ggml::Q5_0;
                $packed
            }
            $crate::ggml::BlockType::Q5_1 => {
                let $codec = $crate::ggml::Q5_1;
                $packed
            }
            $crate::ggml::BlockType::Q8_0 => {
                let $codec = $crate::ggml::Q8_0;
                $packed
            }
            $crate::ggml::BlockType::Q2_K => {
                let $codec = $crate::ggml::Q2K;
                $packed
            }
            $crate::ggml::BlockType::Q3_K => {
                let $codec = $crate::ggml::Q3K;
                $packed
            }
            $crate::ggml::BlockType::Q4_K => {
                let $codec = $crate::ggml::Q4K;
                $packed
            }
            $crate::ggml::BlockType::Q5_K => {
                let $codec = $crate::ggml::Q5K;
                $packed
            }
            $crate::ggml::BlockType::Q6_K => {
                let $codec = $crate::ggml::Q6K;
                $packed
            }
            $crate::ggml::BlockType::IQ4_NL => {
                let $codec = $crate::ggml::Iq4Nl;
                $packed
            }
            $crate::ggml::BlockType::IQ4_XS => {
                let $codec = $crate::ggml::Iq4Xs;
                $packed
            }
            $crate::ggml::BlockType::MXFP4 => {
                let $codec = $crate::ggml::Mxfp4;
                $packed
            }
        }
    };
}
pub(crate) use with_codec;

/// Each type with ggml's name and number, and the values and bytes of a block.
const TABLE: [(BlockType, &str, u32, usize, usize); 16] = [
    (BlockType::F32, "F32", 0, 1, 4),
    (BlockType::F16, "F16", 1, 1, 2),
    (BlockType::Q4_0, "Q4_0", 2, 32, 18),
    (BlockType::Q4_1, "Q4_1", 3, 32, 20),
    (BlockType::Q5_0, "Q5_0", 6, 32, 22),
    (BlockType::Q5_1, "Q5_1", 7, 32, 24),
    (BlockType::Q8_0, "Q8_0", 8, 32, 34),
    (BlockType::Q2_K, "Q2_K", 10, 256, 84),
    (BlockType::Q3_K, "Q3_K", 11, 256, 110),
    (BlockType::Q4_K, "Q4_K", 12, 256, 144),
    (BlockType::Q5_K, "Q5_K", 13, 256, 176),
    (BlockType::Q6_K, "Q6_K", 14, 256, 210),
    (BlockType::IQ4_NL, "IQ4_NL", 20, 32, 18),
    (BlockType::IQ4_XS, "IQ4_XS", 23, 256, 136),
    (BlockType::BF16, "BF16", 30, 1, 2),
    (BlockType::MXFP4, "MXFP4", 39, 32, 17),
];

impl BlockType {
    /// Every type, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }

    /// The type with ggml's number, if weights of it can be read.
    pub fn from_ggml_id(id: u32) -> Option<Self> {
        TABLE.iter().find(|row| row.2 == id).map(|row| row.0)
    }

    fn row(self) -> &'static (Self, &'static str, u32, usize, usize) {
        TABLE.iter().find(|row| row.0 == self).expect("every type has a row")
    }

    /// ggml's name.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Values of a block.
    pub fn values(self) -> usize {
        self.row().3
    }

    /// Bytes of a block.
    pub fn bytes(self) -> usize {
        self.row().4
    }

    /// Bytes of a row of `values` values, or nothing where it is no whole number of blocks or no
    /// size in memory.
    pub fn row_bytes(self, values: usize) -> Option<usize> {
        let (block, bytes) = (self.values(), self.bytes());
        values.is_multiple_of(block).then(|| (values / block).checked_mul(bytes)).flatten()
    }

    /// Decodes whole blocks to f32.
    ///
    /// # Panics
    /// If `packed` has another length than [`row_bytes`](Self::row_bytes) says of `values`.
    pub fn decode_row(self, packed: &[u8], values: &mut [f32]) {
        assert_eq!(self.row_bytes(values.len()), Some(packed.len()), "bytes of {}", self.name());
        with_codec!(self, codec => block::decode(codec, packed, values),
            dense => dense::decode(self, packed, values));
    }
}

#[cfg(test)]
mod tests;
