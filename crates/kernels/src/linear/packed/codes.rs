//! Codes of 32 neighbours in one register, for each type of blocks: what the kernels of AVX2 and of
//! AVX-512 start from.

use std::arch::x86_64::*;

use crate::ggml::*;

/// Values that are unpacked at a time.
pub(super) const GROUP: usize = 32;

/// How a type of blocks is unpacked in registers.
///
/// # Safety
/// Every method wants a CPU with AVX2 and F16C; blocks are whole, and `g` is below their groups.
pub(super) trait Codes: Block {
    /// The bits of a byte that are a code. Where all are, codes are signed bytes.
    const MASK: u8;

    /// What a code is above the one of [`Block`], so that it is not negative.
    const ZERO: u8;

    /// The codes of group `g`, a byte each and in order; bits outside of the mask may be set.
    unsafe fn unpack(block: &[u8], g: usize) -> __m256i;

    /// [`Block::scales`].
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn factors(block: &[u8], scales: &mut [f32; MAX_SCALES], mins: &mut [f32; MAX_SCALES]) {
        Self::scales(block, scales, mins);
    }

    /// The scale of each lane of a group: one for all, or one for each half of the values.
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn scale(_block: &[u8], scales: &[f32; MAX_SCALES], g: usize) -> __m256 {
        if Self::SHARED == GROUP {
            return _mm256_set1_ps(scales[g]);
        }
        let (first, second) = (_mm_set1_ps(scales[2 * g]), _mm_set1_ps(scales[2 * g + 1]));
        _mm256_set_m128(second, first)
    }
}

/// Bytes ahead that weights are asked for: the CPU's own prefetch stops at every page.
const AHEAD: usize = 4096;

/// Asks for the bytes that lie where group `g` of a block is, and a page further.
#[inline(always)]
pub(super) fn prefetch<B: Block>(block: &[u8], g: usize) {
    let at = AHEAD + g * B::BYTES / (B::VALUES / GROUP);
    // SAFETY: asking for memory that is not there does nothing.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(block.as_ptr().wrapping_add(at).cast()) };
}

/// Sixteen bytes from a place of a block.
#[inline]
#[target_feature(enable = "avx2")]
fn load16(block: &[u8], at: usize) -> __m128i {
    let bytes: &[u8] = &block[at..at + 16];
    // SAFETY: the slice has sixteen bytes.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// 32 bytes from a place of a block.
#[inline]
#[target_feature(enable = "avx2")]
fn load32(block: &[u8], at: usize) -> __m256i {
    let bytes: &[u8] = &block[at..at + 32];
    // SAFETY: the slice has 32 bytes.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// The half-precision number that a block begins with, in every lane. Converting one lane alone
/// would make the compiler insert it into the register of an earlier sum, and wait for that sum.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn first_half(block: &[u8]) -> __m256 {
    _mm256_cvtph_ps(_mm_set1_epi16(i16::from_le_bytes([block[0], block[1]])))
}

/// The two half-precision numbers that a block begins with.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn two_halves(block: &[u8]) -> [f32; 2] {
    let bits = i32::from_le_bytes([block[0], block[1], block[2], block[3]]);
    let values = _mm_cvtph_ps(_mm_cvtsi32_si128(bits));
    [_mm_cvtss_f32(values), _mm_cvtss_f32(_mm_movehdup_ps(values))]
}

/// Sixteen bytes, whose upper nibbles become the bytes 16 to 31. Shifts of words leave bits of
/// neighbours above the nibbles.
#[inline]
#[target_feature(enable = "avx2")]
fn nibbles(block: &[u8], at: usize) -> __m256i {
    let low = load16(block, at);
    _mm256_set_m128i(_mm_srli_epi32::<4>(low), low)
}

/// 16 in every byte j whose bit j of the word is set, 0 in the others.
#[inline]
#[target_feature(enable = "avx2")]
fn fifth_bits(block: &[u8], at: usize) -> __m256i {
    let word = [block[at], block[at + 1], block[at + 2], block[at + 3]];
    let word = _mm256_set1_epi32(i32::from_le_bytes(word));
    let byte_of =
        _mm256_set_epi64x(0x0303_0303_0303_0303, 0x0202_0202_0202_0202, 0x0101_0101_0101_0101, 0);
    let bit_of = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
    let bits = _mm256_and_si256(_mm256_shuffle_epi8(word, byte_of), bit_of);
    _mm256_and_si256(_mm256_cmpeq_epi8(bits, bit_of), _mm256_set1_epi8(16))
}

/// Nibbles with their fifth bits.
#[inline]
#[target_feature(enable = "avx2")]
fn five_bits(block: &[u8], at: usize, high: usize) -> __m256i {
    let low = _mm256_and_si256(nibbles(block, at), _mm256_set1_epi8(15));
    _mm256_or_si256(low, fifth_bits(block, high))
}

/// Entries of a codebook that nibbles name.
#[inline]
#[target_feature(enable = "avx2")]
fn look_up(codebook: &[i8; 16], block: &[u8], at: usize) -> __m256i {
    // SAFETY: the codebook has sixteen bytes.
    let entries = unsafe { _mm_loadu_si128(codebook.as_ptr().cast()) };
    let codes = _mm256_and_si256(nibbles(block, at), _mm256_set1_epi8(15));
    _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(entries), codes)
}

/// Words shifted to the right by the planes that lie below one: the count is known when `g` is.
#[inline]
#[target_feature(enable = "avx2")]
fn down(words: __m256i, count: usize) -> __m256i {
    _mm256_srl_epi32(words, _mm_cvtsi32_si128(count as i32))
}

macro_rules! legacy {
    ($name:ident, $mask:literal, $zero:literal, |$block:ident| $unpack:expr) => {
        impl Codes for $name {
            const MASK: u8 = $mask;
            const ZERO: u8 = $zero;

            #[inline]
            #[target_feature(enable = "avx2,f16c")]
            unsafe fn unpack($block: &[u8], _g: usize) -> __m256i {
                $unpack
            }

            #[inline]
            #[target_feature(enable = "avx2,f16c")]
            unsafe fn factors(
                block: &[u8],
                scales: &mut [f32; MAX_SCALES],
                mins: &mut [f32; MAX_SCALES],
            ) {
                if Self::HAS_MIN {
                    [scales[0], mins[0]] = two_halves(block);
                } else {
                    scales[0] = _mm256_cvtss_f32(first_half(block));
                }
            }

            #[inline]
            #[target_feature(enable = "avx2,f16c")]
            unsafe fn scale(block: &[u8], scales: &[f32; MAX_SCALES], _g: usize) -> __m256 {
                if Self::HAS_MIN { _mm256_set1_ps(scales[0]) } else { first_half(block) }
            }
        }
    };
}

legacy!(Q4_0, 15, 8, |block| nibbles(block, 2));
legacy!(Q4_1, 15, 0, |block| nibbles(block, 4));
legacy!(Q5_0, 31, 16, |block| five_bits(block, 6, 2));
legacy!(Q5_1, 31, 0, |block| five_bits(block, 8, 4));
legacy!(Q8_0, 255, 0, |block| load32(block, 2));
legacy!(Iq4Nl, 255, 0, |block| look_up(&IQ4, block, 2));

macro_rules! planes {
    ($name:ident, $mask:literal, $zero:literal, |$block:ident, $g:ident| $unpack:expr) => {
        impl Codes for $name {
            const MASK: u8 = $mask;
            const ZERO: u8 = $zero;

            #[inline]
            #[target_feature(enable = "avx2,f16c")]
            unsafe fn unpack($block: &[u8], $g: usize) -> __m256i {
                $unpack
            }
        }
    };
}

planes!(Q2K, 3, 0, |block, g| down(load32(block, 16 + g / 4 * 32), g % 4 * 2));
planes!(Q3K, 7, 4, |block, g| {
    let low = down(load32(block, 32 + g / 4 * 32), g % 4 * 2);
    let high = _mm256_slli_epi32::<2>(down(load32(block, 0), g));
    let low = _mm256_and_si256(low, _mm256_set1_epi8(3));
    _mm256_or_si256(low, _mm256_and_si256(high, _mm256_set1_epi8(4)))
});
planes!(Q4K, 15, 0, |block, g| down(load32(block, 16 + g / 2 * 32), g % 2 * 4));
planes!(Q5K, 31, 0, |block, g| {
    let low = down(load32(block, 48 + g / 2 * 32), g % 2 * 4);
    let high = _mm256_slli_epi32::<4>(down(load32(block, 16), g));
    let low = _mm256_and_si256(low, _mm256_set1_epi8(15));
    _mm256_or_si256(low, _mm256_and_si256(high, _mm256_set1_epi8(16)))
});
planes!(Q6K, 63, 32, |block, g| {
    let low = down(load32(block, g / 4 * 64 + g % 2 * 32), g % 4 / 2 * 4);
    let high = _mm256_slli_epi32::<4>(down(load32(block, 128 + g / 4 * 32), g % 4 * 2));
    let low = _mm256_and_si256(low, _mm256_set1_epi8(15));
    _mm256_or_si256(low, _mm256_and_si256(high, _mm256_set1_epi8(48)))
});
planes!(Iq4Xs, 255, 0, |block, g| look_up(&IQ4, block, 8 + g * 16));
planes!(Mxfp4, 255, 0, |block, _g| look_up(&FP4, block, 1));
