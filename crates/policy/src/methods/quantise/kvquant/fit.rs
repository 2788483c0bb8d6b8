//! Centroids and scales fitted to the keys and values of a calibration text.

use super::LayerCodebooks;
use crate::LayerRows;

/// Iterations of Lloyd's algorithm; it converges long before.
const ROUNDS: usize = 100;

/// Fits one layer: `2^key_bits` and `2^value_bits` centroids, without `outliers` values of each
/// row.
pub(super) fn fit(
    rows: &LayerRows,
    key_bits: u32,
    value_bits: u32,
    outliers: usize,
) -> LayerCodebooks {
    let channels = rows.kv_heads * rows.head_dim;
    let (key_offset, key_scale) = spread(&rows.keys, channels);
    let mut keys = rows.keys.clone();
    for token in keys.chunks_exact_mut(channels) {
        for ((x, offset), scale) in token.iter_mut().zip(&key_offset).zip(&key_scale) {
            *x = (*x - offset) / scale;
        }
    }
    let mut inliers = Vec::with_capacity(keys.len());
    for row in keys.chunks_exact_mut(rows.head_dim) {
        inliers.extend_from_slice(without_outliers(row, outliers));
    }
    let key_centroids = lloyd(inliers, 1 << key_bits);
    let mut values = rows.values.clone();
    let mut inliers = Vec::with_capacity(values.len());
    for row in values.chunks_exact_mut(rows.head_dim) {
        let row = without_outliers(row, outliers);
        let absmax = row.iter().fold(f32::MIN_POSITIVE, |absmax, x| absmax.max(x.abs()));
        inliers.extend(row.iter().map(|x| x / absmax));
    }
    LayerCodebooks {
        key_offset,
        key_scale,
        key_centroids,
        value_centroids: lloyd(inliers, 1 << value_bits),
    }
}

/// Mean and standard deviation of each channel of `[S, channels]`; a deviation of 0 becomes 1.
fn spread(rows: &[f32], channels: usize) -> (Vec<f32>, Vec<f32>) {
    let count = (rows.len() / channels).max(1) as f64;
    let (mut sums, mut squares) = (vec![0.0f64; channels], vec![0.0f64; channels]);
    for token in rows.chunks_exact(channels) {
        for (c, x) in token.iter().enumerate() {
            sums[c] += f64::from(*x);
            squares[c] += f64::from(*x).powi(2);
        }
    }
    let means = sums.iter().map(|sum| sum / count);
    let deviations = means.clone().zip(&squares).map(|(mean, square)| {
        let deviation = (square / count - mean * mean).max(0.0).sqrt();
        if deviation > 0.0 { deviation as f32 } else { 1.0 }
    });
    (means.clone().map(|mean| mean as f32).collect(), deviations.collect())
}

/// A row without its `count` values of largest magnitude, in any order.
fn without_outliers(row: &mut [f32], count: usize) -> &[f32] {
    row.sort_unstable_by(|a, b| a.abs().total_cmp(&b.abs()));
    &row[..row.len() - count.min(row.len())]
}

/// `count` centroids of least squared error for the samples (Lloyd 1957), ascending.
fn lloyd(mut samples: Vec<f32>, count: usize) -> Vec<f32> {
    samples.sort_unstable_by(f32::total_cmp);
    let sums: Vec<f64> = std::iter::once(0.0)
        .chain(samples.iter().scan(0.0, |sum, x| {
            *sum += f64::from(*x);
            Some(*sum)
        }))
        .collect();
    let at = |i: usize| samples.get(i).copied().unwrap_or(0.0);
    let quantile = |i: usize| at((2 * i + 1) * samples.len() / (2 * count));
    let mut centroids: Vec<f32> = (0..count).map(quantile).collect();
    for _ in 0..ROUNDS {
        let mut ends = vec![0];
        for pair in centroids.windows(2) {
            let bound = (pair[0] + pair[1]) / 2.0;
            ends.push(samples.partition_point(|x| *x <= bound));
        }
        ends.push(samples.len());
        for (centroid, end) in centroids.iter_mut().zip(ends.windows(2)) {
            if end[0] < end[1] {
                *centroid = ((sums[end[1]] - sums[end[0]]) / (end[1] - end[0]) as f64) as f32;
            }
        }
    }
    centroids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn centroids_find_the_clusters() {
        let samples = [-1.1, -0.9, 0.0, 0.1, 0.9, 1.1, 4.0, 4.2].repeat(50);
        let centroids = lloyd(samples, 4);
        for (got, want) in centroids.iter().zip([-1.0, 0.05, 1.0, 4.1]) {
            assert!((got - want).abs() < 1e-3, "{centroids:?}");
        }
    }

    #[test]
    fn channels_are_centred_and_scaled() {
        let (mean, deviation) = spread(&[1.0, 5.0, 3.0, 5.0], 2);
        assert_eq!((mean, deviation), (vec![2.0, 5.0], vec![1.0, 1.0]));
    }
}
