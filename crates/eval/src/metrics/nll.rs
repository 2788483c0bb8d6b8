//! Negative log-likelihood of the next token, in nats.

use kvr_policy::kernels::simd::exp;
use rayon::prelude::*;

/// `-ln p(target)` for each row of logits `[N, vocabulary]`.
pub fn nll(logits: &[f32], targets: &[u32]) -> Vec<f64> {
    let vocabulary = logits.len() / targets.len().max(1);
    logits
        .par_chunks_exact(vocabulary)
        .zip(targets)
        .map(|(row, target)| {
            pulp::Arch::new().dispatch(|| log_sum_exp(row)) - f64::from(row[*target as usize])
        })
        .collect()
}

/// `ln Σ e^x`: exponentials in f32, their sum in 16 running sums, the rest in f64.
#[inline(always)]
fn log_sum_exp(row: &[f32]) -> f64 {
    let mut tops = [f32::MIN; 16];
    let mut sums = [0.0f32; 16];
    let chunks = row.chunks_exact(16);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (top, x) in tops.iter_mut().zip(chunk) {
            *top = if *x > *top { *x } else { *top };
        }
    }
    let max = tops.iter().chain(rest).copied().fold(f32::MIN, f32::max);
    for chunk in row.chunks_exact(16) {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += exp(*x - max);
        }
    }
    let sum = sums.iter().map(|s| f64::from(*s)).sum::<f64>()
        + rest.iter().map(|x| f64::from(exp(*x - max))).sum::<f64>();
    f64::from(max) + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_plain_formula() {
        let logits: Vec<f32> =
            (0..3 * 1003).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.21).collect();
        for (row, (got, target)) in
            nll(&logits, &[0, 500, 1002]).iter().zip([0, 500, 1002]).enumerate()
        {
            let row = &logits[row * 1003..][..1003];
            let plain =
                row.iter().map(|x| f64::from(*x).exp()).sum::<f64>().ln() - f64::from(row[target]);
            assert!((got - plain).abs() < 1e-6, "{got} against {plain}");
        }
    }
}
