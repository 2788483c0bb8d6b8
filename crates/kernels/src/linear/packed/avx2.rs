//! Products of packed rows with a few rows of `x` on AVX2: codes become f32 in registers.

// Indices run over several arrays side by side.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::*;

use super::codes::{Codes, GROUP, prefetch};
use super::x86::Arranged;
use crate::ggml::MAX_SCALES;
use crate::simd::Buffer;

/// Values of a register.
const LANES: usize = 8;

/// Registers of a group.
const PARTS: usize = GROUP / LANES;

/// Where a kernel wants value `i` of a group of `x`, and times what.
///
/// A group's 32 codes are eight words of four bytes. Masking byte `p` of each word, where it is,
/// and converting the words gives the codes `4·lane + p` times 256^p: no shuffles, which are what
/// older CPUs have least of. Signed bytes are widened in order instead.
fn place<B: Codes>(i: usize) -> (usize, f32) {
    if B::MASK == u8::MAX {
        return (i, 1.0);
    }
    let (lane, part) = (i / PARTS, i % PARTS);
    (part * LANES + lane, 1.0 / (1_u32 << (8 * part)) as f32)
}

/// Values of a group of `x` and, where codes have a zero point, what its products begin with: in
/// each lane, the sum of the lane's values times minus the zero point.
const fn width<B: Codes>() -> usize {
    if B::ZERO == 0 { GROUP } else { GROUP + LANES }
}

/// `x`, `rows` of it, as [`products`] reads it.
pub(super) fn arrange<B: Codes>(x: &[f32], rows: usize) -> Arranged {
    let mut values = Buffer::new(x.len() / GROUP * width::<B>());
    for (to, from) in values.chunks_exact_mut(width::<B>()).zip(x.chunks_exact(GROUP)) {
        for (i, value) in from.iter().enumerate() {
            let (at, factor) = place::<B>(i);
            to[at] = value * factor;
            if B::ZERO != 0 {
                to[GROUP + at % LANES] -= f32::from(B::ZERO) * value;
            }
        }
    }
    Arranged::new::<B>(x, values, rows)
}

/// A group's codes as f32, in the order of [`place`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn floats<B: Codes>(codes: __m256i) -> [__m256; PARTS] {
    let mut floats = [_mm256_setzero_ps(); PARTS];
    if B::MASK == u8::MAX {
        let halves = [_mm256_castsi256_si128(codes), _mm256_extracti128_si256::<1>(codes)];
        for (i, half) in halves.into_iter().enumerate() {
            floats[2 * i] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(half));
            let upper = _mm_srli_si128::<8>(half);
            floats[2 * i + 1] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(upper));
        }
    } else {
        for part in 0..PARTS {
            let mask = _mm256_set1_epi32(i32::from(B::MASK) << (8 * part));
            floats[part] = _mm256_cvtepi32_ps(_mm256_and_si256(codes, mask));
        }
    }
    floats
}

/// The products of packed rows of `bytes` each with rows `from..from + N` of `x`, into columns of
/// as many values as `x` has rows.
///
/// # Safety
/// The CPU has AVX2, FMA and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn products<B: Codes, const N: usize>(
    x: &Arranged,
    from: usize,
    (weights, bytes): (&[u8], usize),
    columns: &mut [f32],
) {
    let (mut scales, mut mins) = ([0.0; MAX_SCALES], [0.0; MAX_SCALES]);
    for (row, out) in weights.chunks_exact(bytes).zip(columns.chunks_exact_mut(x.rows)) {
        let mut sums = [_mm256_setzero_ps(); N];
        let mut rest = [0.0_f32; N];
        for (b, block) in row.chunks_exact(B::BYTES).enumerate() {
            // SAFETY: this function runs where the CPU has these instructions.
            unsafe { B::factors(block, &mut scales, &mut mins) };
            x.add_mins::<B, N>(from, b, &mins, &mut rest);
            let groups = B::VALUES / GROUP;
            // Written out: each group of a block has shifts of its own.
            macro_rules! group {
                ($($g:literal)*) => {$(
                    if $g < groups {
                        prefetch::<B>(block, $g);
                        // SAFETY: as above.
                        let weights = floats::<B>(unsafe { B::unpack(block, $g) });
                        // SAFETY: as above.
                        let scale = unsafe { B::scale(block, &scales, $g) };
                        for i in 0..N {
                            let x = x.group(from + i, b * groups + $g, width::<B>());
                            sums[i] = _mm256_fmadd_ps(scale, dot::<B>(&weights, x), sums[i]);
                        }
                    }
                )*};
            }
            group!(0 1 2 3 4 5 6 7);
        }
        for i in 0..N {
            out[from + i] = rest[i] + total(sums[i]);
        }
    }
}

/// The products of a group's codes with the values of [`arrange`], summed up across registers.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dot<B: Codes>(codes: &[__m256; PARTS], x: &[f32]) -> __m256 {
    let (values, start) = x.split_at(GROUP);
    // SAFETY: as many values as lanes.
    let load = |values: &[f32; LANES]| unsafe { _mm256_loadu_ps(values.as_ptr()) };
    let (values, _) = values.as_chunks::<LANES>();
    let mut sum = match start.first_chunk() {
        Some(start) => _mm256_fmadd_ps(codes[0], load(&values[0]), load(start)),
        None => _mm256_mul_ps(codes[0], load(&values[0])),
    };
    for part in 1..PARTS {
        sum = _mm256_fmadd_ps(codes[part], load(&values[part]), sum);
    }
    sum
}

/// The sum of the lanes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn total(lanes: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps::<1>(lanes));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}
