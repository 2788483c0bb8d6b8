//! The online softmax of one row of scores, in loops that the compiler vectorises.

use crate::kernels::simd::exp;

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
    let mut max = running_max;
    for score in lanes.iter().chain(chunks.remainder()) {
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
    let mut sum: f32 = sums.iter().sum();
    for score in chunks.into_remainder() {
        *score = exp(*score - max);
        sum += *score;
    }
    (max, sum)
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
