//! Means with standard errors that respect the text.
//!
//! Tokens of one window are not independent, so the unit of the standard error is the window, not
//! the token: the spread of window means, divided by the square root of their number. Source: the
//! usual estimator for means of clusters of one size (Cochran, Sampling Techniques, chapter 9).

/// A mean and its standard error; the error is unknown (`None`) with a single window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Its standard error.
    pub stderr: Option<f64>,
}

/// The mean over all tokens of all windows.
pub fn estimate(windows: &[Vec<f64>]) -> Estimate {
    let tokens: usize = windows.iter().map(Vec::len).sum();
    let mean = windows.iter().flatten().sum::<f64>() / tokens as f64;
    let count = windows.len() as f64;
    let stderr = (windows.len() > 1).then(|| {
        // Deviations of window sums from what the mean makes of their lengths.
        let square: f64 =
            windows.iter().map(|w| (w.iter().sum::<f64>() - mean * w.len() as f64).powi(2)).sum();
        (square * count / (count - 1.0)).sqrt() / tokens as f64
    });
    Estimate { mean, stderr }
}

/// The mean difference `ours - theirs`, token by token over the same windows.
pub fn paired(ours: &[Vec<f64>], theirs: &[Vec<f64>]) -> Estimate {
    let differences: Vec<Vec<f64>> = ours
        .iter()
        .zip(theirs)
        .map(|(a, b)| a.iter().zip(b).map(|(a, b)| a - b).collect())
        .collect();
    estimate(&differences)
}

/// The median of some numbers; `None` of none.
pub fn median(numbers: &[f64]) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hand_worked_windows() {
        let windows = vec![vec![1.0, 3.0], vec![3.0, 5.0], vec![5.0, 7.0]];
        let got = estimate(&windows);
        // Window means 2, 4, 6: standard deviation 2, over the square root of 3.
        assert_eq!(got.mean, 4.0);
        assert!((got.stderr.expect("three windows") - 2.0 / 3f64.sqrt()).abs() < 1e-12);
        assert_eq!(estimate(&windows[..1]).stderr, None);
    }

    #[test]
    fn a_constant_shift_has_no_uncertainty() {
        let theirs = vec![vec![1.0, 9.0], vec![4.0, 2.0]];
        let ours: Vec<Vec<f64>> =
            theirs.iter().map(|w| w.iter().map(|x| x + 0.5).collect()).collect();
        assert_eq!(paired(&ours, &theirs), Estimate { mean: 0.5, stderr: Some(0.0) });
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }
}
