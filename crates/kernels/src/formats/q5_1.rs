//! 5 bits from the minimum to the maximum of a block of 32, f16 scale and minimum: 6 bits per
//! value.
//!
//! Source: ggml's `quantize_row_q5_1_ref`.

use half::f16;

use super::four_bit::{codes, inverse, range};
use super::{BlockLayout, Format, Packing, five_bit};

/// The `q5_1` format.
#[derive(Debug, Clone, Copy)]
pub struct Q5_1;

impl Format for Q5_1 {
    fn name(&self) -> &str {
        "q5_1"
    }

    fn layout(&self) -> BlockLayout {
        BlockLayout { values: 32, code_words: 5, scales: 2 }
    }

    #[inline(always)]
    fn encode(&self, values: &[f32], words: &mut [u32], scales: &mut [u16]) {
        let (low, high) = range(values);
        let scale = (high - low) / 31.0;
        scales[0] = f16::from_f32(scale).to_bits();
        scales[1] = f16::from_f32(low).to_bits();
        five_bit::pack(&codes(values, low, inverse(scale), 0.5, 31), words);
    }

    #[inline(always)]
    fn decode(&self, words: &[u32], scales: &[u16], values: &mut [f32]) {
        let (scale, low) = (f16::from_bits(scales[0]).to_f32(), f16::from_bits(scales[1]).to_f32());
        let mut block = [0.0f32; 32];
        for (value, code) in block.iter_mut().zip(five_bit::unpack(words)) {
            *value = f32::from(code) * scale + low;
        }
        values[..32].copy_from_slice(&block);
    }

    fn packing(&self) -> Option<Packing> {
        Some(Packing::HalfBlocks)
    }

    fn wgsl(&self) -> Option<String> {
        let text = concat!(
            "const TOP_CODE: f32 = 31.0;\n",
            include_str!("five_bit.wgsl"),
            include_str!("min_max.wgsl")
        );
        Some(text.to_owned())
    }
}
