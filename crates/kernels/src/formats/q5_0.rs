//! 5 bits, symmetric, scaled by the signed absmax, blocks of 32, f16 scale: 5.5 bits per value.
//!
//! Source: ggml's `quantize_row_q5_0_ref`. The scale is the value of largest magnitude over -16, so
//! that this value has code 0; the other side clips at 31.

use half::f16;

use super::four_bit::{codes, inverse, signed_absmax};
use super::{BlockLayout, Format, Packing, five_bit};

/// The `q5_0` format.
#[derive(Debug, Clone, Copy)]
pub struct Q5_0;

impl Format for Q5_0 {
    fn name(&self) -> &str {
        "q5_0"
    }

    fn layout(&self) -> BlockLayout {
        BlockLayout { values: 32, code_words: 5, scales: 1 }
    }

    #[inline(always)]
    fn encode(&self, values: &[f32], words: &mut [u32], scales: &mut [u16]) {
        let scale = signed_absmax(values) / -16.0;
        scales[0] = f16::from_f32(scale).to_bits();
        five_bit::pack(&codes(values, 0.0, inverse(scale), 16.5, 31), words);
    }

    #[inline(always)]
    fn decode(&self, words: &[u32], scales: &[u16], values: &mut [f32]) {
        let scale = f16::from_bits(scales[0]).to_f32();
        let mut block = [0.0f32; 32];
        for (value, code) in block.iter_mut().zip(five_bit::unpack(words)) {
            *value = (f32::from(code) - 16.0) * scale;
        }
        values[..32].copy_from_slice(&block);
    }

    fn packing(&self) -> Option<Packing> {
        Some(Packing::HalfBlocks)
    }

    fn wgsl(&self) -> Option<String> {
        let text = concat!(
            "const ZERO_CODE: f32 = 16.0;\nconst TOP_CODE: f32 = 31.0;\n",
            include_str!("five_bit.wgsl"),
            include_str!("signed_absmax.wgsl")
        );
        Some(text.to_owned())
    }
}
