//! Products of packed rows with a few rows of `x` on AVX-512: sixteen codes are widened in order,
//! so `x` stays as it is.

// Indices run over several arrays side by side.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::*;

use super::codes::{Codes, GROUP, prefetch};
use super::x86::Arranged;
use crate::ggml::MAX_SCALES;
use crate::simd::Buffer;

/// Values of a register.
const LANES: usize = 16;

/// `x`, `rows` of it, as [`products`] reads it.
pub(super) fn arrange<B: Codes>(x: &[f32], rows: usize) -> Arranged {
    let mut values = Buffer::new(x.len());
    values.copy_from_slice(x);
    Arranged::new::<B>(x, values, rows)
}

/// A group's codes as f32, in order.
#[inline]
#[target_feature(enable = "avx512f,avx2,fma,f16c")]
fn floats<B: Codes>(mut codes: __m256i) -> [__m512; 2] {
    if B::MASK != u8::MAX {
        codes = _mm256_and_si256(codes, _mm256_set1_epi8(B::MASK as i8));
    }
    if B::ZERO != 0 {
        codes = _mm256_sub_epi8(codes, _mm256_set1_epi8(B::ZERO as i8));
    }
    let (low, high) = (_mm256_castsi256_si128(codes), _mm256_extracti128_si256::<1>(codes));
    [_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(low)), _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(high))]
}

/// The products of packed rows of `bytes` each with rows `from..from + N` of `x`, into columns of
/// as many values as `x` has rows.
///
/// # Safety
/// The CPU has AVX-512F, AVX2, FMA and F16C.
#[target_feature(enable = "avx512f,avx2,fma,f16c")]
pub(super) unsafe fn products<B: Codes, const N: usize>(
    x: &Arranged,
    from: usize,
    (weights, bytes): (&[u8], usize),
    columns: &mut [f32],
) {
    let (mut scales, mut mins) = ([0.0; MAX_SCALES], [0.0; MAX_SCALES]);
    for (row, out) in weights.chunks_exact(bytes).zip(columns.chunks_exact_mut(x.rows)) {
        let mut sums = [_mm512_setzero_ps(); N];
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
                        let codes = floats::<B>(unsafe { B::unpack(block, $g) });
                        // SAFETY: as above.
                        let scales = unsafe { spread::<B>(block, &scales, $g) };
                        for i in 0..N {
                            let x = x.group(from + i, b * groups + $g, GROUP);
                            sums[i] = add::<B>(sums[i], &codes, &scales, x);
                        }
                    }
                )*};
            }
            group!(0 1 2 3 4 5 6 7);
        }
        for i in 0..N {
            out[from + i] = rest[i] + _mm512_reduce_add_ps(sums[i]);
        }
    }
}

/// The scales of a group's halves.
#[inline]
#[target_feature(enable = "avx512f,avx2,fma,f16c")]
unsafe fn spread<B: Codes>(block: &[u8], scales: &[f32; MAX_SCALES], g: usize) -> [__m512; 2] {
    if B::SHARED < GROUP {
        return [_mm512_set1_ps(scales[2 * g]), _mm512_set1_ps(scales[2 * g + 1])];
    }
    // SAFETY: the CPU has more than AVX2.
    let half = _mm256_castps_pd(unsafe { B::scale(block, scales, g) });
    let whole = _mm512_insertf64x4::<1>(_mm512_castpd256_pd512(half), half);
    [_mm512_castpd_ps(whole); 2]
}

/// Adds the products of a group with its values of `x`.
#[inline]
#[target_feature(enable = "avx512f,avx2,fma,f16c")]
fn add<B: Codes>(sum: __m512, codes: &[__m512; 2], scales: &[__m512; 2], x: &[f32]) -> __m512 {
    let (values, _) = x.as_chunks::<LANES>();
    // SAFETY: as many values as lanes.
    let load = |values: &[f32; LANES]| unsafe { _mm512_loadu_ps(values.as_ptr()) };
    let first = _mm512_mul_ps(codes[0], load(&values[0]));
    if B::SHARED < GROUP {
        let second = _mm512_mul_ps(codes[1], load(&values[1]));
        return _mm512_fmadd_ps(scales[1], second, _mm512_fmadd_ps(scales[0], first, sum));
    }
    _mm512_fmadd_ps(scales[0], _mm512_fmadd_ps(codes[1], load(&values[1]), first), sum)
}
