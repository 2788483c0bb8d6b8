//! K-quants: 256 values whose scales (and mins) are small integers that share a half-precision
//! scale each: Q2_K and Q3_K and Q6_K with 16 groups, Q4_K and Q5_K with 8.
//!
//! Codes lie in planes: a byte holds the same bits of values that are 32 apart.

use super::block::{Block, half_at};

/// Values of a block.
const VALUES: usize = 256;

/// Values of a plane.
const PLANE: usize = 32;

/// Two bits above a min.
#[derive(Clone, Copy)]
pub(crate) struct Q2K;

/// Three bits around 4.
#[derive(Clone, Copy)]
pub(crate) struct Q3K;

/// Four bits above a min.
#[derive(Clone, Copy)]
pub(crate) struct Q4K;

/// Five bits above a min.
#[derive(Clone, Copy)]
pub(crate) struct Q5K;

/// Six bits around 32.
#[derive(Clone, Copy)]
pub(crate) struct Q6K;

/// `scale · n` for each number that a plane's groups were given.
#[inline(always)]
fn scaled(out: &mut [f32], scale: f32, numbers: impl Iterator<Item = i8>) {
    for (out, n) in out.iter_mut().zip(numbers) {
        *out = scale * f32::from(n);
    }
}

/// The 6-bit scales and mins of eight groups: whole for the first four, and for the last four in
/// four bits of their own and the two bits that the first left over.
#[inline(always)]
fn six_bits(packed: &[u8]) -> ([i8; 8], [i8; 8]) {
    let (mut scales, mut mins) = ([0; 8], [0; 8]);
    for j in 0..4 {
        let (scale, min, both) = (packed[j], packed[4 + j], packed[8 + j]);
        scales[j] = (scale & 63) as i8;
        mins[j] = (min & 63) as i8;
        scales[4 + j] = (both & 15 | scale >> 2 & 48) as i8;
        mins[4 + j] = (both >> 4 | min >> 2 & 48) as i8;
    }
    (scales, mins)
}

/// Scales and mins of Q4_K and Q5_K.
#[inline(always)]
fn eight_groups(block: &[u8], scales: &mut [f32], mins: &mut [f32]) {
    let (s, m) = six_bits(&block[4..16]);
    scaled(scales, half_at(block, 0), s.into_iter());
    scaled(mins, -half_at(block, 2), m.into_iter());
}

impl Block for Q2K {
    const VALUES: usize = VALUES;
    const BYTES: usize = 84;
    const SHARED: usize = 16;
    const HAS_MIN: bool = true;

    #[inline(always)]
    fn scales(block: &[u8], scales: &mut [f32], mins: &mut [f32]) {
        scaled(scales, half_at(block, 80), block[..16].iter().map(|b| (b & 15) as i8));
        scaled(mins, -half_at(block, 82), block[..16].iter().map(|b| (b >> 4) as i8));
    }

    #[inline(always)]
    fn codes(block: &[u8], codes: &mut [i8]) {
        two_bits(&block[16..80], codes);
    }
}

/// Pairs of bits: four planes in the first 32 bytes, four in the others.
#[inline(always)]
fn two_bits(packed: &[u8], codes: &mut [i8]) {
    for (i, codes) in codes.chunks_exact_mut(PLANE).enumerate() {
        for (code, byte) in codes.iter_mut().zip(&packed[i / 4 * PLANE..]) {
            *code = (byte >> (2 * (i % 4)) & 3) as i8;
        }
    }
}

impl Block for Q3K {
    const VALUES: usize = VALUES;
    const BYTES: usize = 110;
    const SHARED: usize = 16;
    const HAS_MIN: bool = false;

    #[inline(always)]
    fn scales(block: &[u8], scales: &mut [f32], _mins: &mut [f32]) {
        let packed = &block[96..108];
        let numbers = (0..16).map(|j| {
            let low = packed[j % 8] >> (4 * (j / 8)) & 15;
            let high = packed[8 + j % 4] >> (2 * (j / 4)) & 3;
            (low | high << 4) as i8 - 32
        });
        scaled(scales, half_at(block, 108), numbers);
    }

    #[inline(always)]
    fn codes(block: &[u8], codes: &mut [i8]) {
        two_bits(&block[32..96], codes);
        for (i, codes) in codes.chunks_exact_mut(PLANE).enumerate() {
            for (code, byte) in codes.iter_mut().zip(&block[..PLANE]) {
                // A high bit that is set means that nothing is subtracted.
                *code -= ((byte >> i & 1) ^ 1) as i8 * 4;
            }
        }
    }
}

/// Four bits: two planes in every 32 bytes.
#[inline(always)]
fn four_bits(packed: &[u8], codes: &mut [i8]) {
    for (codes, packed) in codes.chunks_exact_mut(2 * PLANE).zip(packed.chunks_exact(PLANE)) {
        let (low, high) = codes.split_at_mut(PLANE);
        for ((byte, low), high) in packed.iter().zip(low).zip(high) {
            *low = (byte & 15) as i8;
            *high = (byte >> 4) as i8;
        }
    }
}

impl Block for Q4K {
    const VALUES: usize = VALUES;
    const BYTES: usize = 144;
    const SHARED: usize = 32;
    const HAS_MIN: bool = true;

    #[inline(always)]
    fn scales(block: &[u8], scales: &mut [f32], mins: &mut [f32]) {
        eight_groups(block, scales, mins);
    }

    #[inline(always)]
    fn codes(block: &[u8], codes: &mut [i8]) {
        four_bits(&block[16..144], codes);
    }
}

impl Block for Q5K {
    const VALUES: usize = VALUES;
    const BYTES: usize = 176;
    const SHARED: usize = 32;
    const HAS_MIN: bool = true;

    #[inline(always)]
    fn scales(block: &[u8], scales: &mut [f32], mins: &mut [f32]) {
        eight_groups(block, scales, mins);
    }

    #[inline(always)]
    fn codes(block: &[u8], codes: &mut [i8]) {
        four_bits(&block[48..176], codes);
        for (i, codes) in codes.chunks_exact_mut(PLANE).enumerate() {
            for (code, byte) in codes.iter_mut().zip(&block[16..48]) {
                *code += ((byte >> i & 1) << 4) as i8;
            }
        }
    }
}

impl Block for Q6K {
    const VALUES: usize = VALUES;
    const BYTES: usize = 210;
    const SHARED: usize = 16;
    const HAS_MIN: bool = false;

    #[inline(always)]
    fn scales(block: &[u8], scales: &mut [f32], _mins: &mut [f32]) {
        scaled(scales, half_at(block, 208), block[192..208].iter().map(|b| *b as i8));
    }

    #[inline(always)]
    fn codes(block: &[u8], codes: &mut [i8]) {
        for (i, codes) in codes.chunks_exact_mut(PLANE).enumerate() {
            // Half a block: 64 bytes of low bits, whose upper nibbles are planes 2 and 3, and 32
            // bytes of high bits.
            let (half, plane) = (i / 4, i % 4);
            let low = &block[half * 64 + plane % 2 * PLANE..];
            let high = &block[128 + half * PLANE..];
            for ((code, low), high) in codes.iter_mut().zip(low).zip(high) {
                let low = low >> (4 * (plane / 2)) & 15;
                *code = (low | (high >> (2 * plane) & 3) << 4) as i8 - 32;
            }
        }
    }
}
