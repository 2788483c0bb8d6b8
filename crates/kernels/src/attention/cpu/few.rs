//! Products of a few query rows with a tile of keys or values: what decode is made of.
//!
//! A GEMM's packing costs more than it saves for up to eight rows. Here each key is read once for
//! all rows, sixteen lanes of partial sums run side by side, and sixteen of them are reduced
//! together. Where the CPU lacks AVX-512 the loops below are compiled for the widest instructions
//! that it has.

use super::planes::Prefetch;
use crate::simd::dot;
use crate::wide;

/// Up to this many rows are few.
pub(super) const ROWS: usize = 8;

/// `scores = scale · queries · keysᵀ`, row-major `[rows, width]`; prefetches meanwhile.
pub(super) fn scores(
    queries: &[f32],
    keys: &[f32],
    scores: &mut [f32],
    d: usize,
    scale: f32,
    prefetch: Prefetch<'_>,
) {
    #[cfg(target_arch = "x86_64")]
    if d.is_multiple_of(16) && avx512::available() {
        // SAFETY: the CPU was just asked.
        unsafe { avx512::scores(queries, keys, scores, d, scale, prefetch) };
        return;
    }
    prefetch.rows(0, keys.len() / d);
    wide_scores(queries, keys, scores, d, scale);
}

/// As [`scores`], with keys that lie channel by channel, `[groups, D, group]`: no sum runs across
/// a vector.
pub(super) fn scores_across(
    queries: &[f32],
    keys: &[f32],
    scores: &mut [f32],
    d: usize,
    group: usize,
    scale: f32,
) {
    let rows = queries.len() / d;
    let width = scores.len() / rows;
    let mut products = [0.0; ROWS * crate::formats::MAX_BLOCK];
    for (first, keys) in (0..width).step_by(group).zip(keys.chunks_exact(d * group)) {
        let products = &mut products[..rows * group];
        products.fill(0.0);
        add_weighted(queries, keys, products, group, Prefetch::NONE);
        let count = group.min(width - first);
        for (scores, products) in scores.chunks_exact_mut(width).zip(products.chunks_exact(group)) {
            for (score, product) in scores[first..][..count].iter_mut().zip(products) {
                *score = scale * product;
            }
        }
    }
}

/// `weighted += weights · values`, row-major `[rows, D]`; prefetches meanwhile.
pub(super) fn add_weighted(
    weights: &[f32],
    values: &[f32],
    weighted: &mut [f32],
    d: usize,
    prefetch: Prefetch<'_>,
) {
    #[cfg(target_arch = "x86_64")]
    if d.is_multiple_of(16) && avx512::available() {
        // SAFETY: the CPU was just asked.
        unsafe { avx512::add_weighted(weights, values, weighted, d, prefetch) };
        return;
    }
    prefetch.rows(0, values.len() / d);
    wide_add_weighted(weights, values, weighted, d);
}

wide! {
    fn wide_scores<'a>(
        queries: &'a [f32],
        keys: &'a [f32],
        scores: &'a mut [f32],
        d: usize,
        scale: f32,
    ) -> () {
        let width = keys.len() / d;
        for (query, scores) in queries.chunks_exact(d).zip(scores.chunks_exact_mut(width)) {
            for (key, score) in keys.chunks_exact(d).zip(scores) {
                *score = scale * dot(query, key);
            }
        }
    }
}

wide! {
    fn wide_add_weighted<'a>(
        weights: &'a [f32],
        values: &'a [f32],
        weighted: &'a mut [f32],
        d: usize,
    ) -> () {
        let width = values.len() / d;
        for (weights, out) in weights.chunks_exact(width).zip(weighted.chunks_exact_mut(d)) {
            for (weight, value) in weights.iter().zip(values.chunks_exact(d)) {
                for (o, v) in out.iter_mut().zip(value) {
                    *o += weight * v;
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    // Indices run over several arrays side by side.
    #![allow(clippy::needless_range_loop)]

    use std::arch::x86_64::*;

    use super::Prefetch;

    const LANES: usize = 16;

    pub(super) fn available() -> bool {
        is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq")
    }

    /// Sixteen values of a row from `at` on.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn load(row: &[f32], at: usize) -> __m512 {
        debug_assert!(at + LANES <= row.len());
        // SAFETY: callers step through rows of a multiple of sixteen values, which `scores` and
        // `add_weighted` check.
        unsafe { _mm512_loadu_ps(row.as_ptr().add(at)) }
    }

    /// The sums of sixteen vectors, in order: neighbours are interleaved and added, four times,
    /// each time over pieces twice as long.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn sums(v: [__m512; LANES]) -> __m512 {
        let mut quads = [_mm512_setzero_ps(); 4];
        for i in 0..4 {
            let [a, b] =
                [interleave(v[4 * i], v[4 * i + 1]), interleave(v[4 * i + 2], v[4 * i + 3])];
            let [a, b] = [_mm512_castps_pd(a), _mm512_castps_pd(b)];
            let low = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            quads[i] = _mm512_add_ps(low, _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
        }
        halve(halve(quads[0], quads[1]), halve(quads[2], quads[3]))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn interleave(a: __m512, b: __m512) -> __m512 {
        _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b))
    }

    /// Neighbouring quarters of two vectors added: two quarters of each remain.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn halve(a: __m512, b: __m512) -> __m512 {
        let even = _mm512_shuffle_f32x4::<0b10_00_10_00>(a, b);
        _mm512_add_ps(even, _mm512_shuffle_f32x4::<0b11_01_11_01>(a, b))
    }

    #[target_feature(enable = "avx512f,avx512dq")]
    pub(super) fn scores(
        q: &[f32],
        k: &[f32],
        scores: &mut [f32],
        d: usize,
        scale: f32,
        mut prefetch: Prefetch<'_>,
    ) {
        let width = k.len() / d;
        for (q, scores) in q.chunks(4 * d).zip(scores.chunks_mut(4 * width)) {
            match q.len() / d {
                1 => tile::<1, 16>(q, k, scores, d, scale, prefetch),
                2 => tile::<2, 8>(q, k, scores, d, scale, prefetch),
                _ => tile::<4, 4>(q, k, scores, d, scale, prefetch),
            }
            prefetch = Prefetch::NONE;
        }
    }

    /// Sixteen products at a time: `R` rows with `C` keys. The last row and the last key are
    /// repeated where there are fewer.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn tile<const R: usize, const C: usize>(
        q: &[f32],
        k: &[f32],
        scores: &mut [f32],
        d: usize,
        scale: f32,
        prefetch: Prefetch<'_>,
    ) {
        let (rows, width) = (q.len() / d, k.len() / d);
        // Closures would not be compiled for these instructions, so arrays are filled by loops.
        let mut queries = [q; R];
        for (r, query) in queries.iter_mut().enumerate() {
            *query = &q[r.min(rows - 1) * d..][..d];
        }
        for (first, tile) in (0..width).step_by(C).zip(k.chunks(C * d)) {
            let count = tile.len() / d;
            prefetch.rows(first, count);
            let mut keys = [tile; C];
            for (c, key) in keys.iter_mut().enumerate() {
                *key = &tile[c.min(count - 1) * d..][..d];
            }
            let mut sum = [_mm512_setzero_ps(); LANES];
            for at in (0..d).step_by(LANES) {
                let mut key = [_mm512_setzero_ps(); C];
                for c in 0..C {
                    key[c] = load(keys[c], at);
                }
                for r in 0..R {
                    let query = load(queries[r], at);
                    for c in 0..C {
                        sum[r * C + c] = _mm512_fmadd_ps(query, key[c], sum[r * C + c]);
                    }
                }
            }
            let mut products = [0.0f32; LANES];
            let scaled = _mm512_mul_ps(sums(sum), _mm512_set1_ps(scale));
            // SAFETY: the array has sixteen values.
            unsafe { _mm512_storeu_ps(products.as_mut_ptr(), scaled) };
            for (row, products) in scores.chunks_exact_mut(width).zip(products.chunks_exact(C)) {
                match row[first..].first_chunk_mut::<C>() {
                    Some(row) => row.copy_from_slice(products),
                    None => row[first..].copy_from_slice(&products[..count]),
                }
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512dq")]
    pub(super) fn add_weighted(
        weights: &[f32],
        values: &[f32],
        weighted: &mut [f32],
        d: usize,
        mut prefetch: Prefetch<'_>,
    ) {
        let width = values.len() / d;
        // Four rows by four vectors are sixteen running sums, which fit the registers.
        for (weights, out) in weights.chunks(4 * width).zip(weighted.chunks_mut(4 * d)) {
            match weights.len() / width {
                4 => rows::<4>(weights, values, out, d, prefetch),
                3 => rows::<3>(weights, values, out, d, prefetch),
                2 => rows::<2>(weights, values, out, d, prefetch),
                _ => rows::<1>(weights, values, out, d, prefetch),
            }
            prefetch = Prefetch::NONE;
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn rows<const R: usize>(
        weights: &[f32],
        values: &[f32],
        out: &mut [f32],
        d: usize,
        mut prefetch: Prefetch<'_>,
    ) {
        let mut at = 0;
        while at < d {
            match (d - at) / LANES {
                1 => columns::<R, 1>(weights, values, out, (d, at), prefetch),
                2 | 3 => columns::<R, 2>(weights, values, out, (d, at), prefetch),
                _ => columns::<R, 4>(weights, values, out, (d, at), prefetch),
            }
            prefetch = Prefetch::NONE;
            at += LANES
                * if d - at >= 64 {
                    4
                } else if d - at >= 32 {
                    2
                } else {
                    1
                };
        }
    }

    /// `R` rows of `V` vectors from column `at` on.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn columns<const R: usize, const V: usize>(
        weights: &[f32],
        values: &[f32],
        out: &mut [f32],
        (d, at): (usize, usize),
        prefetch: Prefetch<'_>,
    ) {
        let width = values.len() / d;
        let mut sum = [[_mm512_setzero_ps(); V]; R];
        for r in 0..R {
            for v in 0..V {
                sum[r][v] = load(&out[r * d..][..d], at + v * LANES);
            }
        }
        for (t, value) in values.chunks_exact(d).enumerate() {
            prefetch.rows(t, 1);
            let mut column = [_mm512_setzero_ps(); V];
            for v in 0..V {
                column[v] = load(value, at + v * LANES);
            }
            for r in 0..R {
                let weight = _mm512_set1_ps(weights[r * width + t]);
                for v in 0..V {
                    sum[r][v] = _mm512_fmadd_ps(weight, column[v], sum[r][v]);
                }
            }
        }
        for r in 0..R {
            for v in 0..V {
                let to = &mut out[r * d + at + v * LANES..][..LANES];
                // SAFETY: the slice has sixteen values.
                unsafe { _mm512_storeu_ps(to.as_mut_ptr(), sum[r][v]) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that are sums of few powers of two, so that every order of adding is exact.
    fn numbers(count: usize, step: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * step + 3) % 17) as f32 - 8.0).collect()
    }

    #[test]
    fn products_equal_the_plain_sums_for_every_shape() {
        for d in [16, 32, 48, 64, 80, 96, 112, 128, 256, 40] {
            for rows in 1..=ROWS {
                for width in [1, 2, 7, 8, 33, 64] {
                    let (q, k) = (numbers(rows * d, 5), numbers(width * d, 7));
                    let mut got = vec![f32::NAN; rows * width];
                    scores(&q, &k, &mut got, d, 0.5, Prefetch::NONE);
                    let mut out = numbers(rows * d, 3);
                    let mut want = out.clone();
                    let weights = numbers(rows * width, 11);
                    add_weighted(&weights, &k, &mut out, d, Prefetch::NONE);
                    for r in 0..rows {
                        for t in 0..width {
                            let sum: f32 = (0..d).map(|i| q[r * d + i] * k[t * d + i]).sum();
                            assert_eq!(got[r * width + t], 0.5 * sum, "{rows}x{width}x{d}");
                            for i in 0..d {
                                want[r * d + i] += weights[r * width + t] * k[t * d + i];
                            }
                        }
                    }
                    assert_eq!(out, want, "{rows}x{width}x{d}");
                }
            }
        }
    }
}
