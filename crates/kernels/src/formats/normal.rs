//! Centroids for the normal distribution: NormalFloat and Lloyd-Max.

/// The normal distribution function, by the error function's continued fraction and series.
fn cumulative(x: f64) -> f64 {
    0.5 * (1.0 + erf(x / std::f64::consts::SQRT_2))
}

/// The error function by its Maclaurin series, in terms that are all positive; |x| stays below 5.
fn erf(x: f64) -> f64 {
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    while term.abs() > 1e-17 * sum.abs() {
        n += 1.0;
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
    }
    2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp() * sum
}

/// The density of the normal distribution.
fn density(x: f64) -> f64 {
    (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt()
}

/// The quantile of the normal distribution, by bisection.
fn quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-5.0, 5.0);
    for _ in 0..80 {
        let middle = (low + high) / 2.0;
        if cumulative(middle) < p { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// NormalFloat centroids over [-1, 1], ascending (QLoRA, appendix E; bitsandbytes'
/// `create_normal_map`): as many quantiles below zero as above but one, and zero itself.
pub(super) fn normal_float(bits: u32) -> Vec<f32> {
    // The outermost probability of bitsandbytes: halfway between the last quantiles of 15 and 16.
    let offset = 0.967_708_3;
    let half = 1usize << (bits - 1);
    let spread = |count: usize| {
        (0..count).map(move |i| offset + (0.5 - offset) * i as f64 / count as f64).map(quantile)
    };
    let top = quantile(offset);
    let mut centroids: Vec<f64> = spread(half).map(|q| q / top).collect();
    centroids.extend(spread(half - 1).map(|q| -q / top));
    centroids.push(0.0);
    centroids.sort_by(f64::total_cmp);
    centroids.into_iter().map(|centroid| centroid as f32).collect()
}

/// The centroids of least squared error for the normal distribution of variance 1, ascending: each
/// is the mean of the part of the distribution that is nearest to it (Max 1960, table I).
pub(super) fn lloyd_max(bits: u32) -> Vec<f32> {
    let count = 1usize << bits;
    let mut centroids: Vec<f64> =
        (0..count).map(|i| quantile((i as f64 + 0.5) / count as f64)).collect();
    for _ in 0..2000 {
        let mut bounds = vec![f64::NEG_INFINITY];
        bounds.extend(centroids.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0));
        bounds.push(f64::INFINITY);
        let at = |bound: f64| if bound.is_finite() { density(bound) } else { 0.0 };
        let below = |bound: f64| match bound {
            f64::INFINITY => 1.0,
            f64::NEG_INFINITY => 0.0,
            bound => cumulative(bound),
        };
        for (centroid, ends) in centroids.iter_mut().zip(bounds.windows(2)) {
            *centroid = (at(ends[0]) - at(ends[1])) / (below(ends[1]) - below(ends[0]));
        }
    }
    centroids.into_iter().map(|centroid| centroid as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_float_of_four_bits_is_the_published_table() {
        // bitsandbytes, `NF4` (QLoRA, appendix E).
        let published = [
            -1.0,
            -0.696_192_8,
            -0.525_073_05,
            -0.394_917_5,
            -0.284_441_38,
            -0.184_773_43,
            -0.091_050_036,
            0.0,
            0.079_580_3,
            0.160_930_2,
            0.246_112_3,
            0.337_915_24,
            0.440_709_83,
            0.562_617,
            0.722_956_84,
            1.0,
        ];
        let centroids = normal_float(4);
        for (got, want) in centroids.iter().zip(published) {
            assert!((got - want as f32).abs() < 1e-6, "{got} against {want}");
        }
        assert_eq!(normal_float(2).len(), 4);
    }

    #[test]
    fn lloyd_max_centroids_are_those_of_the_paper() {
        // Max 1960, table I, N = 4, 8 and 16: the positive output values.
        let close = |got: &[f32], want: &[f32]| {
            assert_eq!(got.len(), want.len());
            got.iter().zip(want).for_each(|(g, w)| assert!((g - w).abs() < 6e-4, "{got:?}"));
        };
        close(&lloyd_max(2)[2..], &[0.4528, 1.510]);
        close(&lloyd_max(3)[4..], &[0.2451, 0.7560, 1.344, 2.152]);
        close(&lloyd_max(4)[8..], &[0.1284, 0.3881, 0.6568, 0.9424, 1.256, 1.618, 2.069, 2.733]);
    }
}
