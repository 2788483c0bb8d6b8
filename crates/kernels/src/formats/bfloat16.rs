//! The upper half of an f32, rounded to nearest even, two values to a word.

use half::bf16;

use super::{BlockLayout, Format, Packing};

/// The `bf16` format.
#[derive(Debug, Clone, Copy)]
pub struct Bf16;

impl Format for Bf16 {
    fn name(&self) -> &str {
        "bf16"
    }

    fn layout(&self) -> BlockLayout {
        BlockLayout { values: 2, code_words: 1, scales: 0 }
    }

    #[inline(always)]
    fn encode(&self, values: &[f32], codes: &mut [u32], _: &mut [u16]) {
        let bits = |v: f32| u32::from(bf16::from_f32(v).to_bits());
        codes[0] = bits(values[0]) | bits(values[1]) << 16;
    }

    #[inline(always)]
    fn decode(&self, codes: &[u32], _: &[u16], values: &mut [f32]) {
        values[0] = f32::from_bits(codes[0] << 16);
        values[1] = f32::from_bits(codes[0] & 0xffff_0000);
    }

    fn packing(&self) -> Option<Packing> {
        Some(Packing::Stream)
    }

    fn wgsl(&self) -> Option<String> {
        Some(include_str!("bfloat16.wgsl").to_owned())
    }
}
