//! The online softmax of one row of scores, in loops that the compiler vectorises.

use std::ops::Range;

use crate::kernels::simd::exp;
use crate::wide;

wide! {
    /// Turns rows of scores `[rows, width]` into weights in place, those that a row does not see
    /// into 0, and takes them into the running maxima and sums. Where a maximum grows, the row's
    /// weighted sum so far, of `[rows, D]`, shrinks with it.
    pub(super) fn rows<'a>(
        scores: &'a mut [f32],
        width: usize,
        visible: &'a [Range<usize>],
        state: (&'a mut [f32], &'a mut [f32]),
        weighted: &'a mut [f32],
    ) -> () {
        let (max, sum) = state;
        let d = weighted.len() / visible.len();
        for (i, scores) in scores.chunks_exact_mut(width).enumerate() {
            let visible = visible[i].clone();
            scores[..visible.start].fill(0.0);
            scores[visible.end..].fill(0.0);
            let seen = &mut scores[visible];
            if seen.is_empty() {
                continue;
            }
            let (new_max, new_sum) = weights(seen, max[i]);
            let keep = exp(max[i] - new_max);
            sum[i] = sum[i] * keep + new_sum;
            max[i] = new_max;
            if keep != 1.0 {
                weighted[i * d..][..d].iter_mut().for_each(|x| *x *= keep);
            }
        }
    }
}

/// Turns one row of scores into weights `e^(score - max)` in place, where `max` is the larger of
/// the row's maximum and the running one. Returns (new maximum, sum of the weights).
#[inline(always)]
pub(super) fn weights(scores: &mut [f32], running_max: f32) -> (f32, f32) {
    let mut lanes = [running_max; 16];
    let mut chunks = scores.chunks_exact(16);
    for chunk in &mut chunks {
        for (lane, score) in lanes.iter_mut().zip(chunk) {
            *lane = if *score > *lane { *score } else { *lane };
        }
    }
    let mut max = fold(lanes, |a, b| if a > b { a } else { b });
    for score in chunks.remainder() {
        max = max.max(*score);
    }
    let mut sums = [0.0f32; 16];
    let mut chunks = scores.chunks_exact_mut(16);
    for chunk in &mut chunks {
        for (sum, score) in sums.iter_mut().zip(chunk) {
            let weight = exp(*score - max);
            *score = weight;
            *sum += weight;
        }
    }
    let mut sum = fold(sums, |a, b| a + b);
    for score in chunks.into_remainder() {
        *score = exp(*score - max);
        sum += *score;
    }
    (max, sum)
}

/// All lanes as one, halves onto halves: a chain of sixteen steps would wait for each of them.
#[inline(always)]
fn fold(mut lanes: [f32; 16], join: impl Fn(f32, f32) -> f32) -> f32 {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] = join(lanes[i], lanes[i + half]);
        }
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_a_ragged_row_sum_to_what_they_say() {
        let mut row: Vec<f32> = (0..37).map(|i| (i as f32 * 0.37).sin() * 3.0).collect();
        let top = row.iter().copied().fold(f32::MIN, f32::max);
        let (max, sum) = weights(&mut row, f32::NEG_INFINITY);
        assert_eq!(max, top);
        assert!((row.iter().sum::<f32>() - sum).abs() < 1e-4);
    }
}
