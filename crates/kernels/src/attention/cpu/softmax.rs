//! The online softmax of one row of scores, in vectors.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use crate::simd::{exp, exp_of};

/// Running sums of one row, which are added up when all tokens have been seen: adding lanes up for
/// every tile would take longer than its exponentials.
pub(super) type Lanes = [f32; 16];

/// The running softmax of some rows.
pub(super) struct Running {
    pub(super) max: Vec<f32>,
    sums: Vec<Lanes>,
}

impl Running {
    pub(super) fn new(rows: usize) -> Self {
        Self { max: vec![f32::MIN; rows], sums: vec![[0.0; 16]; rows] }
    }

    /// The sum of a row's weights so far, relative to its maximum.
    pub(super) fn sum(&self, row: usize) -> f32 {
        self.sums[row].iter().sum()
    }
}

/// Replaces rows of scores `[rows, width]` by their weights, 0 for tokens that a row does not see,
/// and adds them to the running softmax of the rows from `first` on. Where a maximum grows, the
/// row's weighted sum so far, of `[rows, D]`, is scaled down.
pub(super) fn rows(
    scores: &mut [f32],
    width: usize,
    visible: &[Range<usize>],
    (running, first): (&mut Running, usize),
    weighted: &mut [f32],
) {
    let max = &mut running.max[first..][..visible.len()];
    let sums = &mut running.sums[first..];
    Arch::new().dispatch(Tile { scores, width, visible, max, sums, weighted });
}

struct Tile<'a> {
    scores: &'a mut [f32],
    width: usize,
    visible: &'a [Range<usize>],
    max: &'a mut [f32],
    sums: &'a mut [Lanes],
    weighted: &'a mut [f32],
}

impl WithSimd for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { scores, width, visible, max, sums, weighted } = self;
        let d = weighted.len() / visible.len();
        for (i, scores) in scores.chunks_exact_mut(width).enumerate() {
            let visible = visible[i].clone();
            scores[..visible.start].fill(0.0);
            scores[visible.end..].fill(0.0);
            let keep = weights(simd, &mut scores[visible], &mut max[i], &mut sums[i]);
            if keep != 1.0 {
                weighted[i * d..][..d].iter_mut().for_each(|x| *x *= keep);
            }
        }
    }
}

/// Replaces one row of scores by its weights `e^(score - max)`, where `max` is the larger of the
/// row's maximum and the running one, and adds them to `sums`. Returns the factor for earlier
/// weights: below 1 where `max` has grown.
///
/// Written with vectors, because the compiler keeps an array of running sums in memory.
#[inline(always)]
fn weights<S: Simd>(simd: S, scores: &mut [f32], max: &mut f32, sums: &mut Lanes) -> f32 {
    let (vectors, rest) = S::as_mut_simd_f32s(scores);
    let mut tops = simd.splat_f32s(*max);
    for scores in &*vectors {
        tops = simd.max_f32s(tops, *scores);
    }
    let mut top = simd.reduce_max_f32s(tops);
    for score in &*rest {
        top = top.max(*score);
    }
    // In most tiles no score exceeds those before.
    let mut keep = 1.0;
    if top > *max {
        keep = exp(*max - top);
        *max = top;
        sums.iter_mut().for_each(|sum| *sum *= keep);
    }
    let all = simd.splat_f32s(top);
    let mut sum = simd.partial_load_f32s(sums);
    for scores in vectors {
        *scores = exp_of(simd, simd.sub_f32s(*scores, all));
        sum = simd.add_f32s(sum, *scores);
    }
    simd.partial_store_f32s(sums, sum);
    for score in rest {
        *score = exp(*score - top);
        sums[0] += *score;
    }
    keep
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_a_ragged_row_sum_to_what_they_say() {
        let mut row: Vec<f32> = (0..37).map(|i| (i as f32 * 0.37).sin() * 3.0).collect();
        let top = row.iter().copied().fold(f32::MIN, f32::max);
        let (mut max, mut sums) = (f32::MIN, [0.0; 16]);
        let simd = pulp::Scalar::new();
        let keep = weights(simd, &mut row, &mut max, &mut sums);
        assert!(keep < 1e-37, "nothing of before is kept");
        assert_eq!(max, top);
        assert!((row.iter().sum::<f32>() - sums.iter().sum::<f32>()).abs() < 1e-4);
        let (before, mut higher) = (sums, vec![top + 1.0; 3]);
        let keep = weights(simd, &mut higher, &mut max, &mut sums);
        assert!((keep - (-1.0f32).exp()).abs() < 1e-6 && max == top + 1.0);
        assert!((sums[0] - before[0] * keep - 3.0).abs() < 1e-5);
    }
}
