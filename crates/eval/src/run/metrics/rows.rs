//! What a row of logits says of the token that follows, alone and against another row.
//!
//! Rows are long and differences small, so terms are f32 in 16 running sums over short chunks,
//! and the chunks are added in f64: a divergence of 1e-5 nats keeps two digits.

use kvr_kernels::simd::exp;
use kvr_kernels::wide;
use rayon::prelude::*;

/// Values that are summed in f32 before they go into an f64.
const CHUNK: usize = 1024;

/// One prediction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// `-ln p` of the token that followed, in nats.
    pub nll: f64,
    /// The likeliest token; the first where several are.
    pub top: u32,
    /// The largest logit.
    max: f32,
    /// `ln Σ e^logit`.
    log_sum_exp: f64,
}

/// One prediction against the baseline's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// Kullback-Leibler divergence of the policy's distribution from the baseline's, in nats:
    /// `Σ p_base (ln p_base - ln p)`.
    pub kld: f64,
    /// Change of the probability of the token that followed, `p - p_base`.
    pub dp: f64,
    /// Whether both call the same token the likeliest.
    pub same_top: bool,
}

/// Scores each row of logits `[N, vocabulary]` against the token that followed it.
pub fn scores(logits: &[f32], targets: &[u32]) -> Vec<Score> {
    let vocabulary = logits.len() / targets.len().max(1);
    let rows = logits.par_chunks_exact(vocabulary).zip(targets);
    rows.map(|(row, target)| wide_score(row, *target)).collect()
}

/// Compares rows of logits `[N, vocabulary]` with the baseline's rows.
pub fn differences(
    (ours, our_scores): (&[f32], &[Score]),
    (theirs, their_scores): (&[f32], &[Score]),
) -> Vec<Difference> {
    let vocabulary = ours.len() / our_scores.len().max(1);
    let rows = ours.par_chunks_exact(vocabulary).zip(our_scores);
    let base = theirs.par_chunks_exact(vocabulary).zip(their_scores);
    rows.zip(base)
        .map(|((ours, score), (theirs, base))| Difference {
            kld: wide_mean_difference(theirs, ours, base.max)
                - (base.log_sum_exp - score.log_sum_exp),
            dp: (-score.nll).exp() - (-base.nll).exp(),
            same_top: score.top == base.top,
        })
        .collect()
}

wide! {
    fn wide_score<'a>(row: &'a [f32], target: u32) -> Score {
        score(row, target)
    }
}

wide! {
    fn wide_mean_difference<'a>(theirs: &'a [f32], ours: &'a [f32], max: f32) -> f64 {
        mean_difference(theirs, ours, max)
    }
}

#[inline(always)]
fn score(row: &[f32], target: u32) -> Score {
    let mut tops = [f32::MIN; 16];
    let chunks = row.chunks_exact(16);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (top, x) in tops.iter_mut().zip(chunk) {
            *top = if *x > *top { *x } else { *top };
        }
    }
    let max = tops.iter().chain(rest).copied().fold(f32::MIN, f32::max);
    let sum = sum_of(row.len(), |i| exp(row[i] - max));
    let log_sum_exp = f64::from(max) + sum.ln();
    let nll = log_sum_exp - f64::from(row[target as usize]);
    Score { nll, top: first(row, max) as u32, max, log_sum_exp }
}

/// The index of the first value that equals `max`: whole chunks first, without a branch a value.
#[inline(always)]
fn first(row: &[f32], max: f32) -> usize {
    let has_max = |chunk: &[f32]| chunk.iter().fold(false, |any, x| any | (*x == max));
    let chunk = row.chunks(64).position(has_max).unwrap_or(0);
    let start = chunk * 64;
    start + row[start..].iter().position(|x| *x == max).unwrap_or(0)
}

/// `Σ p (a - b)` where `p` is the softmax of `a`.
#[inline(always)]
fn mean_difference(a: &[f32], b: &[f32], max: f32) -> f64 {
    let (a, b) = (a, &b[..a.len()]);
    let sum = sum_of(a.len(), |i| exp(a[i] - max));
    sum_of(a.len(), |i| exp(a[i] - max) * (a[i] - b[i])) / sum
}

/// `Σ term(i)` for `i` below `n`.
#[inline(always)]
fn sum_of(n: usize, term: impl Fn(usize) -> f32) -> f64 {
    let mut total = 0.0;
    for start in (0..n).step_by(CHUNK) {
        let end = n.min(start + CHUNK);
        let mut sums = [0.0f32; 16];
        let whole = start + (end - start) / 16 * 16;
        for i in (start..whole).step_by(16) {
            for (lane, sum) in sums.iter_mut().enumerate() {
                *sum += term(i + lane);
            }
        }
        total += sums.iter().map(|s| f64::from(*s)).sum::<f64>();
        total += (whole..end).map(|i| f64::from(term(i))).sum::<f64>();
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOCABULARY: usize = 2503;

    fn logits(rows: usize, scale: f32) -> Vec<f32> {
        (0..rows * VOCABULARY).map(|i| ((i * 37 % 101) as f32 - 50.0) * scale).collect()
    }

    fn plain_log_softmax(row: &[f32]) -> Vec<f64> {
        let sum = row.iter().map(|x| f64::from(*x).exp()).sum::<f64>().ln();
        row.iter().map(|x| f64::from(*x) - sum).collect()
    }

    #[test]
    fn scores_equal_the_plain_formula() {
        let logits = logits(3, 0.21);
        let targets = [0, 500, 2502];
        for (i, score) in scores(&logits, &targets).iter().enumerate() {
            let row = &logits[i * VOCABULARY..][..VOCABULARY];
            let plain = -plain_log_softmax(row)[targets[i] as usize];
            assert!((score.nll - plain).abs() < 1e-6, "{} against {plain}", score.nll);
            let mut top = 0;
            for j in 0..VOCABULARY {
                top = if row[j] > row[top] { j } else { top };
            }
            assert_eq!(score.top as usize, top);
        }
    }

    #[test]
    fn differences_equal_the_plain_formula() {
        let base = logits(2, 0.11);
        // Once far away, once as near as an 8-bit cache comes.
        for (noise, bound) in [(0.5f32, 1e-6), (0.004, 1e-7)] {
            let ours: Vec<f32> = base
                .iter()
                .enumerate()
                .map(|(i, x)| x + 0.3 + noise * ((i * 53 % 17) as f32 / 8.0 - 1.0))
                .collect();
            let targets = [3, 77];
            let got =
                differences((&ours, &scores(&ours, &targets)), (&base, &scores(&base, &targets)));
            for (i, difference) in got.iter().enumerate() {
                let row = |x: &[f32]| plain_log_softmax(&x[i * VOCABULARY..][..VOCABULARY]);
                let (p, q) = (row(&base), row(&ours));
                let plain: f64 = p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum();
                assert!((difference.kld - plain).abs() < bound, "{} {plain}", difference.kld);
                let at = targets[i] as usize;
                assert!((difference.dp - (q[at].exp() - p[at].exp())).abs() < 1e-8);
            }
        }
        let same = scores(&base, &[1, 1]);
        let zero = Difference { kld: 0.0, dp: 0.0, same_top: true };
        assert_eq!(differences((&base, &same), (&base, &same)), [zero, zero]);
    }
}
