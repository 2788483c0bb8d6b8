//! 8 bits, symmetric, blocks of 32, f16 scale: 8.5 bits per value.
//!
//! Source: ggml's `quantize_row_q8_0_ref`. The scale is the largest magnitude over 127; codes are
//! rounded half away from zero with the scale's f32 inverse, before the scale is rounded to f16.

use half::f16;

use super::{BlockLayout, CodeMeaning, Format, Packing};

/// The `q8_0` format.
#[derive(Debug, Clone, Copy)]
pub struct Q8_0;

impl Format for Q8_0 {
    fn name(&self) -> &str {
        "q8_0"
    }

    fn layout(&self) -> BlockLayout {
        BlockLayout { values: 32, code_words: 8, scales: 1 }
    }

    #[inline(always)]
    fn encode(&self, values: &[f32], codes: &mut [u32], scales: &mut [u16]) {
        let amax = values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        let scale = amax / 127.0;
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        scales[0] = f16::from_f32(scale).to_bits();
        let codes: &mut [i8] = bytemuck::cast_slice_mut(codes);
        for (code, value) in codes[..32].iter_mut().zip(&values[..32]) {
            let x = value * inverse;
            // Half away from zero without a call to round(): truncation plus the remainder's half.
            let whole = x.trunc();
            let step = if (x - whole).abs() >= 0.5 { 1.0f32.copysign(x) } else { 0.0 };
            *code = (whole + step) as i8;
        }
    }

    #[inline(always)]
    fn decode(&self, codes: &[u32], scales: &[u16], values: &mut [f32]) {
        let scale = f16::from_bits(scales[0]).to_f32();
        let mut block = [0.0f32; 32];
        for (value, code) in block.iter_mut().zip(bytemuck::cast_slice::<u32, i8>(codes)) {
            *value = f32::from(*code) * scale;
        }
        values[..32].copy_from_slice(&block);
    }

    fn packing(&self) -> Option<Packing> {
        Some(Packing::Stream)
    }

    fn code_meaning(&self) -> Option<CodeMeaning> {
        Some(CodeMeaning::Signed)
    }

    fn wgsl(&self) -> Option<String> {
        Some(include_str!("q8_0.wgsl").to_owned())
    }
}
