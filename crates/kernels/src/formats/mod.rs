//! Storage formats: how a block of values becomes code words and scales.
//!
//! Codes and scales live in separate planes, so that kernels read aligned words. The formats with
//! names of their own are ggml's (llama.cpp), with the same bytes per value and the same values;
//! [`Format::to_ggml`] and [`Format::read_ggml`] convert to and from its interleaved blocks.
//! Families of formats, such as `a<bits>g<group>`, are made when they are named.

mod bfloat16;
mod bits;
mod codebook;
mod e2m1;
mod five_bit;
mod float16;
mod float32;
mod four_bit;
mod ggml;
mod group;
mod mxfp4;
mod normal;
mod nvfp4;
mod outliers;
mod q4_0;
mod q4_1;
mod q5_0;
mod q5_1;
mod q8_0;

use std::fmt::Debug;
use std::sync::Arc;

use crate::wide;

pub use self::bfloat16::Bf16;
pub use self::codebook::{Codebook, Scale};
pub use self::float16::F16;
pub use self::float32::F32;
pub use self::group::{Group, Range};
pub use self::outliers::Outliers;
pub use self::q4_0::Q4_0;
pub use self::q4_1::Q4_1;
pub use self::q5_0::Q5_0;
pub use self::q5_1::Q5_1;
pub use self::q8_0::Q8_0;

/// The most values in one block: kernels hold a block on their stack.
pub const MAX_BLOCK: usize = 256;

/// The sizes of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockLayout {
    /// Values along head_dim in one block; at most [`MAX_BLOCK`].
    pub values: usize,
    /// u32 words of codes in one block.
    pub code_words: usize,
    /// 16-bit words of scales in one block, any number. What a word holds is the format's business:
    /// an f16 scale, minimum or offset, or two bytes, such as E8M0 or E4M3 scales or integers.
    pub scales: usize,
}

impl BlockLayout {
    /// Bits for one value, scales included.
    pub fn bits_per_value(&self) -> f64 {
        (32 * self.code_words + 16 * self.scales) as f64 / self.values as f64
    }
}

/// In what order a block's codes lie in its words; how wide they are follows from the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// One after the other, the first in the lowest bits.
    Stream,
    /// ggml's 4 and 5 bits: the low nibble of a byte holds a code of the first half of the block,
    /// the high nibble one of the second half; fifth bits, in order, fill a word before them.
    HalfBlocks,
}

/// How a code becomes a value, where that is simple enough to compute in f16.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CodeMeaning {
    /// The code is the value in f16.
    F16,
    /// A whole number in two's complement, times the scale.
    Signed,
    /// A whole number less this zero point, times the scale.
    ZeroPoint(f32),
    /// A whole number times the scale, plus the second scale.
    Offset,
}

/// A storage format. Blocks are independent of each other; their values lie along head_dim, or
/// along the tokens of one channel where a cache is per channel.
pub trait Format: Debug + Send + Sync {
    /// The name used in pairs, such as `q8_0`.
    fn name(&self) -> &str;

    /// The sizes of one block.
    fn layout(&self) -> BlockLayout;

    /// Packs one block: `values` to `codes` and `scales`, whose lengths are those of the layout.
    fn encode(&self, values: &[f32], codes: &mut [u32], scales: &mut [u16]);

    /// Unpacks one block; the inverse of [`encode`](Self::encode) up to rounding.
    fn decode(&self, codes: &[u32], scales: &[u16], values: &mut [f32]);

    /// The WGSL twin of `encode` and `decode`, for GPUs: two functions over one block,
    ///
    /// ```wgsl
    /// fn encode_block(x: ptr<function, array<f32, VALUES>>,
    ///                 codes: ptr<function, array<u32, WORDS>>,
    ///                 scales: ptr<function, array<u32, SCALE_SLOTS>>)
    /// fn decode_block(codes: …, scales: …, x: …)
    /// ```
    ///
    /// with a 16-bit word of scales in the low half of each element; `SCALE_SLOTS` is the layout's
    /// number of them, and at least 2. The helpers of `wgsl/prelude.wgsl` may be called. `None`
    /// means that caches in this format live on the CPU only.
    fn wgsl(&self) -> Option<String> {
        None
    }

    /// How codes are packed, if the WGSL also compiles for blocks of eight values: attention on a
    /// GPU then reads them as they are packed. `None`, the default, means that a GPU decodes a tile
    /// of tokens to f32 first, as it does where a block has more than two words of scales.
    fn packing(&self) -> Option<Packing> {
        None
    }

    /// What codes of 4, 8 or 16 bits mean, for the matrix units of GPUs. `None`, the default, means
    /// that they are decoded as [`wgsl`](Self::wgsl) says and rounded to f16.
    fn code_meaning(&self) -> Option<CodeMeaning> {
        None
    }

    /// Packs whole blocks one after the other, with the widest instructions of this CPU.
    fn encode_blocks(&self, values: &[f32], codes: &mut [u32], scales: &mut [u16]) {
        encode_all(self, values, codes, scales);
    }

    /// Unpacks whole blocks one after the other, with the widest instructions of this CPU.
    fn decode_blocks(&self, codes: &[u32], scales: &[u16], values: &mut [f32]) {
        decode_all(self, codes, scales, values);
    }

    /// ggml's interleaved blocks of what is packed here: scales first, then codes.
    fn to_ggml(&self, codes: &[u32], scales: &[u16]) -> Vec<u8> {
        ggml::interleave(self.layout(), codes, scales)
    }

    /// Code words and scales from ggml's interleaved blocks; `None` when `bytes` is no whole
    /// number of blocks.
    fn read_ggml(&self, bytes: &[u8]) -> Option<(Vec<u32>, Vec<u16>)> {
        ggml::separate(self.layout(), bytes)
    }
}

wide! {
    fn encode_all<'a, F: (Format + ?Sized)>(
        format: &'a F,
        values: &'a [f32],
        codes: &'a mut [u32],
        scales: &'a mut [u16],
    ) -> () {
        let BlockLayout { values: n, code_words, scales: s } = format.layout();
        for (i, block) in values.chunks_exact(n).enumerate() {
            let codes = &mut codes[i * code_words..][..code_words];
            format.encode(block, codes, &mut scales[i * s..][..s]);
        }
    }
}

wide! {
    fn decode_all<'a, F: (Format + ?Sized)>(
        format: &'a F,
        codes: &'a [u32],
        scales: &'a [u16],
        values: &'a mut [f32],
    ) -> () {
        let BlockLayout { values: n, code_words, scales: s } = format.layout();
        for (i, block) in values.chunks_exact_mut(n).enumerate() {
            let codes = &codes[i * code_words..][..code_words];
            format.decode(codes, &scales[i * s..][..s], block);
        }
    }
}

/// FNV-1a, 64 bits: a name for a list of numbers, the same on every machine.
pub fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Formats that are made from a name of a certain shape.
#[derive(Debug, Clone, Copy)]
pub struct FormatFamily {
    /// The shape, such as `a<bits>g<group>`.
    pub pattern: &'static str,
    /// A name of that shape.
    pub example: &'static str,
    /// One line for `kvr policies`.
    pub summary: &'static str,
    /// The format of a name; `None` where the name has another shape, and what is wrong where its
    /// numbers are not among those that exist.
    pub parse: ParseFormat,
}

/// See [`FormatFamily::parse`].
pub type ParseFormat = fn(&str) -> Option<Result<Arc<dyn Format>, String>>;

/// The families that come with kvr.
pub fn families() -> Vec<FormatFamily> {
    group::families().into_iter().chain(codebook::families()).collect()
}

/// The formats that come with kvr and have names of their own.
pub fn all() -> Vec<Arc<dyn Format>> {
    vec![
        Arc::new(F32),
        Arc::new(F16),
        Arc::new(Bf16),
        Arc::new(Q8_0),
        Arc::new(Q5_1),
        Arc::new(Q5_0),
        Arc::new(Q4_1),
        Arc::new(Q4_0),
        Arc::new(mxfp4::Mxfp4),
        Arc::new(nvfp4::Nvfp4),
    ]
}
