//! Products of a few rows with a weight on AVX-512. Decoding is bound by reading every weight once,
//! so weights are converted in registers, sixteen at a time.

// Indices run over several arrays side by side.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::*;

use half::{bf16, f16};

const LANES: usize = 16;

/// Rows of `x` that are multiplied at a time.
const ROWS: usize = 4;

/// How far ahead weights are prefetched, in bytes: the CPU's own prefetch stops at every page.
const PREFETCH: usize = 4096;

/// Bytes of a cache line.
const LINE: usize = 64;

/// Whether this CPU has the instructions and rows of `k` values are whole vectors.
pub(super) fn supports(k: usize) -> bool {
    k.is_multiple_of(LANES) && is_x86_feature_detected!("avx512f")
}

/// A type that weights are stored in.
pub(super) trait Stored: Copy + Send + Sync {
    /// Sixteen weights as f32.
    ///
    /// # Safety
    /// The CPU has AVX-512F.
    unsafe fn load(weights: &[Self; LANES]) -> __m512;
}

impl Stored for f32 {
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load(weights: &[Self; LANES]) -> __m512 {
        // SAFETY: the array has sixteen values.
        unsafe { _mm512_loadu_ps(weights.as_ptr()) }
    }
}

impl Stored for f16 {
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load(weights: &[Self; LANES]) -> __m512 {
        // SAFETY: the array has sixteen values.
        _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(weights.as_ptr().cast()) })
    }
}

impl Stored for bf16 {
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load(weights: &[Self; LANES]) -> __m512 {
        // SAFETY: the array has sixteen values.
        let bits = unsafe { _mm256_loadu_si256(weights.as_ptr().cast()) };
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bits)))
    }
}

/// `out[j][i] = weights[j] · x[i]` for rows of `k` values; [`supports`] must hold for `k`.
pub(super) fn products<W: Stored>(x: &[f32], weights: &[W], k: usize, out: &mut [f32]) {
    let (n, m) = (x.len() / k, weights.len() / k);
    assert!(supports(k) && out.len() == n * m, "sizes of few rows");
    // One row of the weight after the other: one stream from memory is twice as fast as four.
    for (row, out) in weights.chunks_exact(k).zip(out.chunks_exact_mut(n)) {
        for (x, out) in x.chunks(ROWS * k).zip(out.chunks_mut(ROWS)) {
            // SAFETY: the CPU was just asked.
            unsafe {
                match out.len() {
                    1 => row_products::<W, 1, 4>(x, row, out),
                    2 => row_products::<W, 2, 2>(x, row, out),
                    3 => row_products::<W, 3, 1>(x, row, out),
                    _ => row_products::<W, 4, 1>(x, row, out),
                }
            }
        }
    }
}

/// One row of a weight with `N` rows of `x`, in `C` sums that do not wait for each other.
#[target_feature(enable = "avx512f")]
unsafe fn row_products<W: Stored, const N: usize, const C: usize>(
    x: &[f32],
    weights: &[W],
    out: &mut [f32],
) {
    let k = weights.len();
    // Closures would not be compiled for these instructions, so arrays are filled by loops.
    let mut sum = [[_mm512_setzero_ps(); N]; C];
    let (vectors, _) = weights.as_chunks::<LANES>();
    let (blocks, rest) = vectors.as_chunks::<C>();
    for (b, block) in blocks.iter().enumerate() {
        // Prefetching beyond the end of the weights is harmless.
        _mm_prefetch::<_MM_HINT_T0>(block.as_ptr().cast::<i8>().wrapping_add(PREFETCH));
        if C * size_of::<W>() * LANES > LINE {
            _mm_prefetch::<_MM_HINT_T0>(block.as_ptr().cast::<i8>().wrapping_add(PREFETCH + LINE));
        }
        for c in 0..C {
            let at = (b * C + c) * LANES;
            // SAFETY: this function runs where the CPU has AVX-512F.
            unsafe { add(&mut sum[c], x, k, at, W::load(&block[c])) };
        }
    }
    for (c, vector) in rest.iter().enumerate() {
        let at = (blocks.len() * C + c) * LANES;
        // SAFETY: as above.
        unsafe { add(&mut sum[0], x, k, at, W::load(vector)) };
    }
    for i in 0..N {
        let mut total = sum[0][i];
        for c in 1..C {
            total = _mm512_add_ps(total, sum[c][i]);
        }
        out[i] = _mm512_reduce_add_ps(total);
    }
}

/// Adds the products of sixteen weights with the values of `N` rows from `at` on.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn add<const N: usize>(
    sum: &mut [__m512; N],
    x: &[f32],
    k: usize,
    at: usize,
    weights: __m512,
) {
    for i in 0..N {
        let values: &[f32] = &x[i * k + at..][..LANES];
        // SAFETY: the slice has sixteen values.
        let values = unsafe { _mm512_loadu_ps(values.as_ptr()) };
        sum[i] = _mm512_fmadd_ps(weights, values, sum[i]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_equal_the_plain_sums() {
        let k = 48;
        if !supports(k) {
            return;
        }
        for n in 1..=8 {
            for m in [1, 3, 4, 9] {
                // Small whole numbers, so that every order of adding is exact.
                let x: Vec<f32> = (0..n * k).map(|i| (i * 5 % 13) as f32 - 6.0).collect();
                let w: Vec<f32> = (0..m * k).map(|i| (i * 7 % 11) as f32 - 5.0).collect();
                let sum = |j: usize, i: usize| -> f32 {
                    (0..k).map(|c| w[j * k + c] * x[i * k + c]).sum()
                };
                let want: Vec<f32> = (0..m)
                    .flat_map(|j| (0..n).map(move |i| (j, i)))
                    .map(|(j, i)| sum(j, i))
                    .collect();
                let mut out = vec![f32::NAN; n * m];
                products(&x, &w, k, &mut out);
                assert_eq!(out, want, "f32, {n} rows, {m} outputs");
                let halves: Vec<f16> = w.iter().map(|v| f16::from_f32(*v)).collect();
                products(&x, &halves, k, &mut out);
                assert_eq!(out, want, "f16, {n} rows, {m} outputs");
                let halves: Vec<bf16> = w.iter().map(|v| bf16::from_f32(*v)).collect();
                products(&x, &halves, k, &mut out);
                assert_eq!(out, want, "bf16, {n} rows, {m} outputs");
            }
        }
    }
}
