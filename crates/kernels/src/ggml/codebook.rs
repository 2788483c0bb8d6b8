//! Four-bit codes that name an entry of a fixed codebook: IQ4_NL and IQ4_XS, whose sixteen values
//! lie closer together near zero, and MXFP4, the FP4 (E2M1) of the OCP Microscaling formats.

use super::block::{Block, half_at};

/// The codebook of IQ4_NL and IQ4_XS.
pub(crate) const IQ4: [i8; 16] =
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// Twice the values of E2M1, so that they are whole.
pub(crate) const FP4: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// 32 values: a half-precision scale, codes.
#[derive(Clone, Copy)]
pub(crate) struct Iq4Nl;

/// 256 values: a half-precision scale, 6-bit scales of groups of 32, codes.
#[derive(Clone, Copy)]
pub(crate) struct Iq4Xs;

/// 32 values: a power of two, codes.
#[derive(Clone, Copy)]
pub(crate) struct Mxfp4;

/// Entries of a codebook: of value j in the low bits of byte j, of value j + 16 above them.
#[inline(always)]
fn look_up(codebook: &[i8; 16], packed: &[u8], codes: &mut [i8]) {
    for (packed, codes) in packed.chunks_exact(16).zip(codes.chunks_exact_mut(32)) {
        let (low, high) = codes.split_at_mut(16);
        for ((byte, low), high) in packed.iter().zip(low).zip(high) {
            *low = codebook[usize::from(byte & 15)];
            *high = codebook[usize::from(byte >> 4)];
        }
    }
}

impl Block for Iq4Nl {
    const VALUES: usize = 32;
    const BYTES: usize = 18;
    const SHARED: usize = 32;
    const HAS_MIN: bool = false;

    #[inline(always)]
    fn scales(block: &[u8], scales: &mut [f32], _mins: &mut [f32]) {
        scales[0] = half_at(block, 0);
    }

    #[inline(always)]
    fn codes(block: &[u8], codes: &mut [i8]) {
        look_up(&IQ4, &block[2..18], codes);
    }
}

impl Block for Iq4Xs {
    const VALUES: usize = 256;
    const BYTES: usize = 136;
    const SHARED: usize = 32;
    const HAS_MIN: bool = false;

    #[inline(always)]
    fn scales(block: &[u8], scales: &mut [f32], _mins: &mut [f32]) {
        let (scale, high) = (half_at(block, 0), u16::from_le_bytes([block[2], block[3]]));
        for (j, out) in scales.iter_mut().take(8).enumerate() {
            let low = block[4 + j / 2] >> (4 * (j % 2)) & 15;
            let high = (high >> (2 * j) & 3) as u8;
            *out = scale * f32::from((low | high << 4) as i8 - 32);
        }
    }

    #[inline(always)]
    fn codes(block: &[u8], codes: &mut [i8]) {
        look_up(&IQ4, &block[8..136], codes);
    }
}

impl Block for Mxfp4 {
    const VALUES: usize = 32;
    const BYTES: usize = 17;
    const SHARED: usize = 32;
    const HAS_MIN: bool = false;

    /// Half of 2^(e − 127), which the doubled entries make up for; subnormal for the two smallest.
    #[inline(always)]
    fn scales(block: &[u8], scales: &mut [f32], _mins: &mut [f32]) {
        let exponent = u32::from(block[0]);
        scales[0] = f32::from_bits(match exponent {
            0 | 1 => 0x0020_0000 << exponent,
            _ => (exponent - 1) << 23,
        });
    }

    #[inline(always)]
    fn codes(block: &[u8], codes: &mut [i8]) {
        look_up(&FP4, &block[1..17], codes);
    }
}
