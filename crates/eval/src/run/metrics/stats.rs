//! Means with standard errors that respect the text.
//!
//! Tokens of one window are not independent, so the unit of the standard error is the block (a
//! window, or a document), not the token: the spread of block sums around what the mean makes of
//! them. Source: the usual estimator for ratios over clusters (Cochran, Sampling Techniques,
//! chapters 6 and 9).

/// A mean and its standard error; the error is unknown (`None`) with a single block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Its standard error.
    pub stderr: Option<f64>,
}

impl Estimate {
    /// What is certain.
    pub const ZERO: Self = Self { mean: 0.0, stderr: Some(0.0) };

    /// A smooth function of this mean, its error by the delta method.
    pub fn map(self, f: impl Fn(f64) -> f64, slope: impl Fn(f64) -> f64) -> Self {
        let stderr = self.stderr.map(|e| e * slope(self.mean).abs());
        Self { mean: f(self.mean), stderr }
    }

    /// `e` to this mean.
    pub fn exp(self) -> Self {
        self.map(f64::exp, f64::exp)
    }

    /// This mean in another unit.
    pub fn scale(self, factor: f64) -> Self {
        self.map(|x| x * factor, |_| factor)
    }

    /// The root of this mean square; zero, and certain, where the square is.
    pub fn sqrt(self) -> Self {
        if self.mean == 0.0 { self } else { self.map(f64::sqrt, |x| 0.5 / x.sqrt()) }
    }
}

/// `Σ sums / Σ sizes` over blocks.
pub fn ratio(sums: &[f64], sizes: &[f64]) -> Estimate {
    let total: f64 = sizes.iter().sum();
    let mean = sums.iter().sum::<f64>() / total;
    let count = sums.len() as f64;
    let stderr = (sums.len() > 1).then(|| {
        let off = sums.iter().zip(sizes).map(|(sum, size)| (sum - mean * size).powi(2));
        (off.sum::<f64>() * count / (count - 1.0)).sqrt() / total
    });
    Estimate { mean, stderr }
}

/// The mean over all values of all blocks.
pub fn mean<T: Copy + Into<f64>>(blocks: &[Vec<T>]) -> Estimate {
    mean_of(blocks, |value| (*value).into())
}

/// The mean of `f` over all values of all blocks.
pub fn mean_of<T>(blocks: &[Vec<T>], f: impl Fn(&T) -> f64) -> Estimate {
    let sums: Vec<f64> = blocks.iter().map(|b| b.iter().map(&f).sum()).collect();
    let sizes: Vec<f64> = blocks.iter().map(|b| b.len() as f64).collect();
    ratio(&sums, &sizes)
}

/// The mean difference `ours - theirs`, value by value over the same blocks.
pub fn paired(ours: &[Vec<f64>], theirs: &[Vec<f64>]) -> Estimate {
    let difference = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| a - b).collect();
    let differences: Vec<Vec<f64>> = ours.iter().zip(theirs).map(difference).collect();
    mean(&differences)
}

/// Quantile `q` (0 to 1) of sorted numbers, with linear interpolation; `None` of none.
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = q * last as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    Some(sorted[low] + (at - low as f64) * (sorted[high] - sorted[low]))
}

/// The median of some numbers; `None` of none.
pub fn median(numbers: &[f64]) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, 0.5)
}

/// Half the distance between the quartiles over the median: how far a timing can be trusted.
pub fn relative_spread(numbers: &[f64]) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let [low, middle, high] = [0.25, 0.5, 0.75].map(|q| quantile(&sorted, q));
    Some((high? - low?) / 2.0 / middle?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hand_worked_windows() {
        let windows = vec![vec![1.0, 3.0], vec![3.0, 5.0], vec![5.0, 7.0]];
        let got = mean(&windows);
        // Window means 2, 4, 6: standard deviation 2, over the square root of 3.
        assert_eq!(got.mean, 4.0);
        assert!((got.stderr.expect("three windows") - 2.0 / 3f64.sqrt()).abs() < 1e-12);
        assert_eq!(mean(&windows[..1]).stderr, None);
    }

    #[test]
    fn a_constant_shift_has_no_uncertainty() {
        let theirs = vec![vec![1.0, 9.0], vec![4.0, 2.0]];
        let ours: Vec<Vec<f64>> =
            theirs.iter().map(|w| w.iter().map(|x| x + 0.5).collect()).collect();
        assert_eq!(paired(&ours, &theirs), Estimate { mean: 0.5, stderr: Some(0.0) });
    }

    #[test]
    fn the_delta_method() {
        let estimate = Estimate { mean: 4.0, stderr: Some(0.1) };
        assert_eq!(estimate.sqrt(), Estimate { mean: 2.0, stderr: Some(0.025) });
        assert_eq!(estimate.exp().stderr, Some(0.1 * 4f64.exp()));
        assert_eq!(Estimate::ZERO.sqrt(), Estimate::ZERO);
    }

    #[test]
    fn quantiles_interpolate() {
        let sorted = [1.0, 2.0, 3.0, 5.0];
        assert_eq!(quantile(&sorted, 0.0), Some(1.0));
        assert_eq!(quantile(&sorted, 0.5), Some(2.5));
        assert_eq!(quantile(&sorted, 1.0), Some(5.0));
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(relative_spread(&[9.0, 10.0, 11.0]), Some(0.05));
    }
}
