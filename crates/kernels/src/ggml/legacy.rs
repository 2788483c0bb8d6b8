//! Blocks of 32 values with one half-precision scale, and a min in the `_1` types: Q4_0, Q4_1,
//! Q5_0, Q5_1 and Q8_0.
//!
//! A byte holds the low four bits of value j and, above them, those of value j + 16; the fifth bits
//! of all values are a word of their own.

use super::block::{Block, half_at};

/// Four bits around 8: scale, codes.
#[derive(Clone, Copy)]
pub(crate) struct Q4_0;

/// Four bits above a min: scale, min, codes.
#[derive(Clone, Copy)]
pub(crate) struct Q4_1;

/// Five bits around 16: scale, fifth bits, codes.
#[derive(Clone, Copy)]
pub(crate) struct Q5_0;

/// Five bits above a min: scale, min, fifth bits, codes.
#[derive(Clone, Copy)]
pub(crate) struct Q5_1;

/// Signed bytes: scale, codes.
#[derive(Clone, Copy)]
pub(crate) struct Q8_0;

/// Values of a block.
const VALUES: usize = 32;

/// The low four bits of 32 values, less `zero`.
#[inline(always)]
fn nibbles(packed: &[u8], codes: &mut [i8], zero: i8) {
    let (low, high) = codes.split_at_mut(VALUES / 2);
    for ((byte, low), high) in packed.iter().zip(low).zip(high) {
        *low = (byte & 15) as i8 - zero;
        *high = (byte >> 4) as i8 - zero;
    }
}

/// Adds the fifth bits: bit j belongs to value j.
#[inline(always)]
fn fifth_bits(packed: &[u8], codes: &mut [i8]) {
    let bits = u32::from_le_bytes([packed[0], packed[1], packed[2], packed[3]]);
    for (j, code) in codes.iter_mut().enumerate() {
        *code += ((bits >> j & 1) << 4) as i8;
    }
}

macro_rules! legacy {
    (
        $name:ident, $bytes:literal, min $has_min:literal,
        |$block:ident, $codes:ident| $fill:block
    ) => {
        impl Block for $name {
            const VALUES: usize = VALUES;
            const BYTES: usize = $bytes;
            const SHARED: usize = VALUES;
            const HAS_MIN: bool = $has_min;

            #[inline(always)]
            fn scales(block: &[u8], scales: &mut [f32], mins: &mut [f32]) {
                scales[0] = half_at(block, 0);
                if $has_min {
                    mins[0] = half_at(block, 2);
                }
            }

            #[inline(always)]
            fn codes($block: &[u8], $codes: &mut [i8]) $fill
        }
    };
}

legacy!(Q4_0, 18, min false, |block, codes| {
    nibbles(&block[2..18], codes, 8);
});
legacy!(Q4_1, 20, min true, |block, codes| {
    nibbles(&block[4..20], codes, 0);
});
legacy!(Q5_0, 22, min false, |block, codes| {
    nibbles(&block[6..22], codes, 16);
    fifth_bits(&block[2..6], codes);
});
legacy!(Q5_1, 24, min true, |block, codes| {
    nibbles(&block[8..24], codes, 0);
    fifth_bits(&block[4..8], codes);
});
legacy!(Q8_0, 34, min false, |block, codes| {
    for (code, byte) in codes.iter_mut().zip(&block[2..34]) {
        *code = *byte as i8;
    }
});
