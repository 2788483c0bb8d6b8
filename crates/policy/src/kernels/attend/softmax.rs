//! The online softmax of one row of scores, in loops that the compiler vectorises.

/// `e^x` for x ≤ 0, within 2 units in the last place; 0 below the range of f32.
///
/// Range reduction to ±ln2/2 and a polynomial of degree 6, so that a loop over a row vectorises;
/// the system's `expf` would be called for each value.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 in two parts, so that n·ln2 is subtracted without rounding.
    const LN2_HIGH: f32 = 0.693_359_375;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.max(-87.3);
    // Adding and subtracting 1.5·2^23 rounds to the nearest integer.
    const MAGIC: f32 = 12_582_912.0;
    let shifted = x * LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    y * power
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
    fn exp_is_within_two_units_in_the_last_place() {
        for i in 0..200_000 {
            let x = -87.0 * i as f32 / 200_000.0;
            let (got, want) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((got - want).abs() <= want * 2.4e-7, "exp({x}) = {got}, expected {want}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(-1e30) < 1.3e-38);
    }

    #[test]
    fn weights_of_a_ragged_row_sum_to_what_they_say() {
        let mut row: Vec<f32> = (0..37).map(|i| (i as f32 * 0.37).sin() * 3.0).collect();
        let top = row.iter().copied().fold(f32::MIN, f32::max);
        let (max, sum) = weights(&mut row, f32::NEG_INFINITY);
        assert_eq!(max, top);
        assert!((row.iter().sum::<f32>() - sum).abs() < 1e-4);
    }
}
