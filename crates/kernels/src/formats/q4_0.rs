//! 4 bits, symmetric, scaled by the signed absmax, blocks of 32, f16 scale: 4.5 bits per value.
//!
//! Source: ggml's `quantize_row_q4_0_ref`. The scale is the value of largest magnitude over -8, so
//! that this value has code 0; the other side clips at 15.

use half::f16;

use super::four_bit::{codes, inverse, signed_absmax};
use super::{BlockLayout, CodeMeaning, Format, Packing, four_bit};

/// The `q4_0` format.
#[derive(Debug, Clone, Copy)]
pub struct Q4_0;

impl Format for Q4_0 {
    fn name(&self) -> &str {
        "q4_0"
    }

    fn layout(&self) -> BlockLayout {
        BlockLayout { values: 32, code_words: 4, scales: 1 }
    }

    #[inline(always)]
    fn encode(&self, values: &[f32], words: &mut [u32], scales: &mut [u16]) {
        let scale = signed_absmax(values) / -8.0;
        scales[0] = f16::from_f32(scale).to_bits();
        four_bit::pack(&codes(values, 0.0, inverse(scale), 8.5, 15), words);
    }

    #[inline(always)]
    fn decode(&self, words: &[u32], scales: &[u16], values: &mut [f32]) {
        let scale = f16::from_bits(scales[0]).to_f32();
        let mut block = [0.0f32; 32];
        for (value, code) in block.iter_mut().zip(four_bit::unpack(words)) {
            *value = (f32::from(code) - 8.0) * scale;
        }
        values[..32].copy_from_slice(&block);
    }

    fn packing(&self) -> Option<Packing> {
        Some(Packing::HalfBlocks)
    }

    fn code_meaning(&self) -> Option<CodeMeaning> {
        Some(CodeMeaning::ZeroPoint(8.0))
    }

    fn wgsl(&self) -> Option<String> {
        let text = concat!(
            "const ZERO_CODE: f32 = 8.0;\nconst TOP_CODE: f32 = 15.0;\n",
            include_str!("four_bit.wgsl"),
            include_str!("signed_absmax.wgsl")
        );
        Some(text.to_owned())
    }
}
