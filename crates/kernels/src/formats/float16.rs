//! IEEE half precision, rounded to nearest even, two values to a word.

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::{BlockLayout, CodeMeaning, Format, Packing};
use crate::simd::widen;

/// The `f16` format.
#[derive(Debug, Clone, Copy)]
pub struct F16;

impl Format for F16 {
    fn name(&self) -> &str {
        "f16"
    }

    fn layout(&self) -> BlockLayout {
        BlockLayout { values: 2, code_words: 1, scales: 0 }
    }

    #[inline(always)]
    fn encode(&self, values: &[f32], codes: &mut [u32], _: &mut [u16]) {
        let bits = |v: f32| u32::from(f16::from_f32(v).to_bits());
        codes[0] = bits(values[0]) | bits(values[1]) << 16;
    }

    #[inline(always)]
    fn decode(&self, codes: &[u32], _: &[u16], values: &mut [f32]) {
        values[0] = f16::from_bits(codes[0] as u16).to_f32();
        values[1] = f16::from_bits((codes[0] >> 16) as u16).to_f32();
    }

    // The half crate converts slices with the CPU's own instructions.
    fn encode_blocks(&self, values: &[f32], codes: &mut [u32], _: &mut [u16]) {
        let halves: &mut [f16] = bytemuck::cast_slice_mut(codes);
        halves[..values.len()].convert_from_f32_slice(values);
    }

    fn decode_blocks(&self, codes: &[u32], _: &[u16], values: &mut [f32]) {
        let halves: &[f16] = bytemuck::cast_slice(codes);
        widen(&halves[..values.len()], values);
    }

    fn packing(&self) -> Option<Packing> {
        Some(Packing::Stream)
    }

    fn code_meaning(&self) -> Option<CodeMeaning> {
        Some(CodeMeaning::F16)
    }

    fn wgsl(&self) -> Option<String> {
        Some(include_str!("float16.wgsl").to_owned())
    }
}
