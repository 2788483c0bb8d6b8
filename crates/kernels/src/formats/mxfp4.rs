//! 4-bit floating point, blocks of 32 values that share a power of two: 4.25 bits per value.
//!
//! Source: MXFP4 of the OCP Microscaling Formats v1.0, as ggml's `quantize_row_mxfp4_ref` makes it:
//! E2M1 codes, and a scale of eight bits of exponent (E8M0), `2^(floor(log2 absmax) - 2)`, so that
//! the largest values lie in [4, 8) and those above 6 are clipped to it. Two blocks of 32 share a
//! 16-bit word of scales, so a block here has 64 values.
//!
//! Deviation: the logarithm is the exponent of absmax itself, where ggml's f32 `log2` rounds a
//! value just below a power of two up to it; exponents below -127 become -127.

use super::{BlockLayout, Format, e2m1, four_bit};

/// Values that share a scale.
const PART: usize = 32;

/// Bytes of ggml's block of 32: the scale, then sixteen pairs of codes.
const GGML_BYTES: usize = 17;

/// The `mxfp4` format.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mxfp4;

/// The exponent of a scale, biased by 127.
#[inline(always)]
fn scale_byte(absmax: f32) -> u8 {
    // The exponent of the largest code, 6, is 2. Infinities take the scale of the largest number.
    ((absmax.to_bits() >> 23) as u8).saturating_sub(2).min(252)
}

/// `2^(byte - 127)`; bytes 0 and 255, a subnormal and what is no number, among them as ggml has it.
#[inline(always)]
fn scale_value(byte: u8) -> f32 {
    match byte {
        0 => f32::from_bits(0x0040_0000),
        byte => f32::from_bits(u32::from(byte) << 23),
    }
}

impl Format for Mxfp4 {
    fn name(&self) -> &str {
        "mxfp4"
    }

    fn layout(&self) -> BlockLayout {
        BlockLayout { values: 2 * PART, code_words: 8, scales: 1 }
    }

    #[inline(always)]
    fn encode(&self, values: &[f32], codes: &mut [u32], scales: &mut [u16]) {
        let mut bytes = [0; 2];
        let parts = values.chunks_exact(PART).zip(codes.chunks_exact_mut(4)).zip(&mut bytes);
        for ((values, codes), byte) in parts {
            *byte = scale_byte(values.iter().fold(0.0f32, |m, v| m.max(v.abs())));
            four_bit::pack(&e2m1::codes(values, scale_value(*byte)), codes);
        }
        scales[0] = u16::from_le_bytes(bytes);
    }

    #[inline(always)]
    fn decode(&self, codes: &[u32], scales: &[u16], values: &mut [f32]) {
        let bytes = scales[0].to_le_bytes();
        let parts = values.chunks_exact_mut(PART).zip(codes.chunks_exact(4)).zip(bytes);
        for ((values, codes), byte) in parts {
            let table = e2m1::table(scale_value(byte));
            for (value, code) in values.iter_mut().zip(four_bit::unpack(codes)) {
                *value = table[usize::from(code)];
            }
        }
    }

    fn wgsl(&self) -> Option<String> {
        let text = concat!(
            "const PART: u32 = 32u;\n",
            include_str!("mxfp4.wgsl"),
            include_str!("e2m1.wgsl")
        );
        Some(text.to_owned())
    }

    fn to_ggml(&self, codes: &[u32], scales: &[u16]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(codes.len() / 4 * GGML_BYTES);
        let scales = scales.iter().flat_map(|word| word.to_le_bytes());
        for (codes, scale) in codes.chunks_exact(4).zip(scales) {
            bytes.push(scale);
            bytes.extend(codes.iter().flat_map(|word| word.to_le_bytes()));
        }
        bytes
    }

    fn read_ggml(&self, bytes: &[u8]) -> Option<(Vec<u32>, Vec<u16>)> {
        let (mut codes, mut scales) = (Vec::new(), Vec::new());
        let pairs = bytes.chunks_exact(2 * GGML_BYTES);
        if !pairs.remainder().is_empty() {
            return None;
        }
        for pair in pairs {
            let (first, second) = pair.split_at(GGML_BYTES);
            scales.push(u16::from_le_bytes([first[0], second[0]]));
            let words = first[1..].chunks_exact(4).chain(second[1..].chunks_exact(4));
            codes.extend(words.map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        }
        Some((codes, scales))
    }
}
