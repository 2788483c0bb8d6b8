//! Which tokens stay.

/// The `count` best scores, their indices ascending; of equals the newest stay.
pub(super) fn best(scores: &[f32], count: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..scores.len()).collect();
    if all.len() > count {
        let order = |a: &usize, b: &usize| scores[*b].total_cmp(&scores[*a]).then(b.cmp(a));
        all.select_nth_unstable_by(count, order);
        all.truncate(count);
        all.sort_unstable();
    }
    all
}

/// AdaKV's choice (Feng et al. 2024): the heads of a layer hold `count` tokens each on average.
/// Each keeps its own best `safe`, and the rest goes to the best over all heads.
pub(super) fn best_of_all(scores: &[Vec<f32>], count: usize, safe: usize) -> Vec<Vec<usize>> {
    let mut raised = Vec::new();
    for scores in scores {
        let mut scores = scores.clone();
        best(&scores, safe.min(count)).into_iter().for_each(|i| scores[i] = f32::INFINITY);
        raised.extend(scores);
    }
    let mut kept = vec![Vec::new(); scores.len()];
    let width = scores.first().map_or(1, Vec::len).max(1);
    for i in best(&raised, count * scores.len()) {
        kept[i / width].push(i % width);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_stay_in_their_order() {
        assert_eq!(best(&[3.0, 1.0, 2.0, 1.0], 3), [0, 2, 3]);
        assert_eq!(best(&[3.0, 1.0], 3), [0, 1]);
        assert!(best(&[3.0, 1.0], 0).is_empty());
    }

    #[test]
    fn the_safeguard_holds_and_the_rest_goes_to_the_highest() {
        let low: Vec<f32> = (0..10).map(|i| i as f32 / 100.0).collect();
        let high: Vec<f32> = (0..10).map(|i| 1.0 + i as f32).collect();
        let kept = best_of_all(&[low, high], 5, 1);
        assert_eq!(kept[0], [9]);
        assert_eq!(kept[1], [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
}
