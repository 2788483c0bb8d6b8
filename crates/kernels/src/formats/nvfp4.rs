//! 4-bit floating point, a scale of eight bits for 16 values: 4.5 bits per value.
//!
//! Source: NVIDIA's NVFP4 in ggml's layout (`quantize_row_nvfp4_ref`): E2M1 codes, and scales
//! absmax / 6 in E4M3 without a sign. Four of them, two to a 16-bit word, and their 64 values are a
//! block. Rounding to E4M3 is ggml's: a half goes up, and no subnormal becomes the smallest normal.
//!
//! Deviation: NVIDIA's second scale, one f32 for a whole tensor, is left out, because a cache does
//! not know what is still to come; it is 1. So the largest scale is 448, values above 448 · 6 =
//! 2,688 are clipped to that, and groups of 16 whose largest magnitude is below 6 · 2^-10 = 0.006
//! become zeros. Keys and values of language models lie between.

use super::{BlockLayout, Format, e2m1};

/// Values that share a scale.
const PART: usize = 16;

/// The code of 448, the largest number of E4M3: all bits but the last.
const TOP: u8 = 0x7e;

/// The `nvfp4` format.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nvfp4;

/// The nearest number of E4M3 (bias 7) to `x`, which is not negative.
#[inline(always)]
fn scale_byte(x: f32) -> u8 {
    let bits = x.to_bits();
    let exponent = (bits >> 23) as i32 - 127 + 7;
    if exponent <= 0 {
        // Subnormal: multiples of 2^-9.
        return ((x * 512.0 + 0.5) as u8).min(7);
    }
    // Half of the last of three bits is added; a carry moves into the exponent as it should.
    let rounded = (bits + (1 << 19)) >> 20;
    rounded.saturating_sub((127 - 7) << 3).min(u32::from(TOP)) as u8
}

/// The number of E4M3 that a byte is; 0 for the one that is no number, as ggml has it.
#[inline(always)]
fn scale_value(byte: u8) -> f32 {
    match byte & 0x7f {
        0x7f => 0.0,
        byte if byte < 8 => f32::from(byte) / 512.0,
        byte => f32::from_bits((u32::from(byte) << 20) + ((127 - 7) << 23)),
    }
}

/// Packs 16 codes into two words: byte `j` holds codes `j` and `j + 8`.
#[inline(always)]
fn pack(codes: &[u8; PART], words: &mut [u32]) {
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(words);
    for (i, byte) in bytes[..PART / 2].iter_mut().enumerate() {
        *byte = codes[i] | codes[i + PART / 2] << 4;
    }
}

impl Format for Nvfp4 {
    fn name(&self) -> &str {
        "nvfp4"
    }

    fn layout(&self) -> BlockLayout {
        BlockLayout { values: 4 * PART, code_words: 8, scales: 2 }
    }

    #[inline(always)]
    fn encode(&self, values: &[f32], codes: &mut [u32], scales: &mut [u16]) {
        let scales: &mut [u8] = bytemuck::cast_slice_mut(scales);
        let parts = values.chunks_exact(PART).zip(codes.chunks_exact_mut(2)).zip(scales);
        for ((values, words), byte) in parts {
            let absmax = values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            *byte = scale_byte(absmax / e2m1::LARGEST);
            pack(&e2m1::codes(values, scale_value(*byte)), words);
        }
    }

    #[inline(always)]
    fn decode(&self, codes: &[u32], scales: &[u16], values: &mut [f32]) {
        let scales: &[u8] = bytemuck::cast_slice(scales);
        let parts = values.chunks_exact_mut(PART).zip(codes.chunks_exact(2)).zip(scales);
        for ((values, words), byte) in parts {
            let table = e2m1::table(scale_value(*byte));
            let bytes: &[u8] = bytemuck::cast_slice(words);
            for (i, byte) in bytes.iter().enumerate() {
                values[i] = table[usize::from(byte & 15)];
                values[i + PART / 2] = table[usize::from(byte >> 4)];
            }
        }
    }

    fn wgsl(&self) -> Option<String> {
        let text = concat!(
            "const PART: u32 = 16u;\n",
            include_str!("nvfp4.wgsl"),
            include_str!("e2m1.wgsl")
        );
        Some(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scale_is_its_own_code() {
        for byte in 0..=TOP {
            assert_eq!(scale_byte(scale_value(byte)), byte);
        }
        assert_eq!((scale_value(TOP), scale_byte(1e9)), (448.0, TOP));
    }

    #[test]
    fn values_beyond_the_largest_scale_are_clipped() {
        let (mut codes, mut scales, mut back) = ([0; 8], [0; 2], [0.0; 64]);
        let mut values = [1.0; 64];
        (values[0], values[16], values[17]) = (-6e4, 0.002, -0.003);
        Nvfp4.encode(&values, &mut codes, &mut scales);
        Nvfp4.decode(&codes, &scales, &mut back);
        assert_eq!(back[0], -2688.0);
        assert_eq!(back[1], 0.0, "beside a value far beyond, small ones are lost");
        let mut small = [0.0; 64];
        small[3] = 0.005;
        Nvfp4.encode(&small, &mut codes, &mut scales);
        Nvfp4.decode(&codes, &scales, &mut back);
        assert_eq!(back, [0.0; 64]);
    }
}
