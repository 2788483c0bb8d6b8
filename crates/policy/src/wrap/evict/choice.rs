//! Which tokens stay.

use super::Evict;
use crate::scorer::{Heads, TokenScorer};

/// AdaKV's safeguard: the share of its own budget that a head keeps at least.
const SAFEGUARD: f64 = 0.2;

/// Positions and state `[S_held][STATE]` of one head.
type Held<'a> = (&'a [u32], &'a [f32]);

/// The indices that each head of one sequence keeps, ascending, when `seen` tokens have come.
pub(super) fn kept<S: TokenScorer>(
    settings: &Evict<S>,
    heads: &[Held<'_>],
    seen: usize,
) -> Vec<Vec<usize>> {
    let budget = settings.budget.tokens(seen);
    // What can't be protected within the budget is not.
    let recent = settings.recent.tokens(budget).min(budget);
    let sinks = settings.sinks.min(budget - recent);
    let newest = seen - recent;
    let guarded = |position: u32| (position as usize) < sinks || position as usize >= newest;
    let scores = |(positions, state): &Held<'_>| -> Vec<f32> {
        let rows = state.chunks_exact(S::STATE);
        positions
            .iter()
            .zip(rows)
            .map(|(p, row)| if guarded(*p) { f32::INFINITY } else { row[0] })
            .collect()
    };
    let mut scores: Vec<Vec<f32>> = heads.iter().map(scores).collect();
    match settings.heads {
        Heads::Each => {}
        Heads::Layer => {
            // Heads that decide together hold the same tokens.
            let count = scores.len() as f32;
            let mean = |i: usize| scores.iter().map(|head| head[i]).sum::<f32>() / count;
            let mean: Vec<f32> = (0..scores[0].len()).map(mean).collect();
            scores.fill(mean);
        }
        Heads::Adaptive => return adaptive(&scores, budget),
    }
    scores.iter().map(|scores| best(scores, budget)).collect()
}

/// The `count` best scores, their indices ascending; of equals the newest stay.
fn best(scores: &[f32], count: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..scores.len()).collect();
    if all.len() > count {
        all.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(b.cmp(a)));
        all.truncate(count);
        all.sort_unstable();
    }
    all
}

/// The best of all heads together, and of each head at least its share of the safeguard.
fn adaptive(scores: &[Vec<f32>], budget: usize) -> Vec<Vec<usize>> {
    let least = ((SAFEGUARD * budget as f64).ceil() as usize).min(budget);
    let mut kept: Vec<Vec<usize>> = scores.iter().map(|scores| best(scores, least)).collect();
    let mut others: Vec<(usize, usize)> = Vec::new();
    for (head, scores) in scores.iter().enumerate() {
        others.extend((0..scores.len()).filter(|i| !kept[head].contains(i)).map(|i| (head, i)));
    }
    let score = |(head, i): (usize, usize)| scores[head][i];
    others.sort_by(|a, b| score(*b).total_cmp(&score(*a)).then(b.1.cmp(&a.1)));
    let left = (budget * scores.len()).saturating_sub(kept.iter().map(Vec::len).sum());
    for (head, i) in others.into_iter().take(left) {
        kept[head].push(i);
    }
    kept.iter_mut().for_each(|kept| kept.sort_unstable());
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_stay_in_their_order() {
        assert_eq!(best(&[3.0, 1.0, 2.0, 1.0], 3), [0, 2, 3]);
        assert_eq!(best(&[3.0, 1.0], 3), [0, 1]);
    }

    #[test]
    fn the_safeguard_holds_and_the_rest_goes_to_the_highest() {
        let low: Vec<f32> = (0..10).map(|i| i as f32 / 100.0).collect();
        let high: Vec<f32> = (0..10).map(|i| 1.0 + i as f32).collect();
        let kept = adaptive(&[low, high], 5);
        assert_eq!(kept[0], [9]);
        assert_eq!(kept[1], [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
}
