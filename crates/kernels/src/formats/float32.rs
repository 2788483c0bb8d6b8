//! Values as they are, 32 bits each: the lossless reference.

use super::{BlockLayout, Format, Packing};

/// The `f32` format.
#[derive(Debug, Clone, Copy)]
pub struct F32;

impl Format for F32 {
    fn name(&self) -> &str {
        "f32"
    }

    fn layout(&self) -> BlockLayout {
        BlockLayout { values: 1, code_words: 1, scales: 0 }
    }

    #[inline(always)]
    fn encode(&self, values: &[f32], codes: &mut [u32], _: &mut [u16]) {
        codes[0] = values[0].to_bits();
    }

    #[inline(always)]
    fn decode(&self, codes: &[u32], _: &[u16], values: &mut [f32]) {
        values[0] = f32::from_bits(codes[0]);
    }

    // Blocks of one value would cost a bounds check each; the planes are plain copies.
    fn encode_blocks(&self, values: &[f32], codes: &mut [u32], _: &mut [u16]) {
        codes[..values.len()].copy_from_slice(bytemuck::cast_slice(values));
    }

    fn decode_blocks(&self, codes: &[u32], _: &[u16], values: &mut [f32]) {
        values.copy_from_slice(bytemuck::cast_slice(&codes[..values.len()]));
    }

    fn packing(&self) -> Option<Packing> {
        Some(Packing::Stream)
    }

    fn wgsl(&self) -> Option<String> {
        Some(include_str!("float32.wgsl").to_owned())
    }
}
