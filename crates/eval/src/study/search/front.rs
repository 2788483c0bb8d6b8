//! From the loss of each part under each candidate to the assignments that nothing beats.

/// A choice of a candidate for every part, with what it costs in all.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Index of the candidate of each part.
    pub candidates: Vec<usize>,
    /// Sum of the bytes.
    pub bytes: f64,
    /// Sum of the losses.
    pub loss: f64,
}

/// Steps of bytes that are told apart: finer than any table shows.
const STEPS: f64 = 20_000.0;

/// The assignments of which none is both smaller and better than another, by rising bytes.
///
/// `losses[part][candidate]` add up, and so do `bytes[candidate]`. Parts are taken in one after the
/// other, and only what nothing beats is kept; where more than 20,000 differ, those of nearly
/// the same bytes count as one (a multiple-choice knapsack, solved as Nemhauser and Ullmann do).
pub fn front(losses: &[Vec<f64>], bytes: &[f64]) -> Vec<Choice> {
    let most = losses.len() as f64 * bytes.iter().copied().fold(0.0, f64::max);
    let step = most / STEPS;
    let mut kept = vec![Choice { candidates: Vec::new(), bytes: 0.0, loss: 0.0 }];
    for losses in losses {
        let mut all = Vec::with_capacity(kept.len() * bytes.len());
        for choice in &kept {
            for (candidate, (bytes, loss)) in bytes.iter().zip(losses).enumerate() {
                let candidates = choice.candidates.iter().copied().chain([candidate]).collect();
                let (bytes, loss) = (choice.bytes + bytes, choice.loss + loss);
                all.push(Choice { candidates, bytes, loss });
            }
        }
        all.sort_by(|a, b| a.bytes.total_cmp(&b.bytes).then(a.loss.total_cmp(&b.loss)));
        kept.clear();
        for choice in all {
            let kept_count = kept.len();
            match kept.last_mut() {
                Some(last) if choice.loss >= last.loss => {}
                // Of two in one step the better one; the smallest of all stays, so that the least
                // budget finds it.
                Some(last)
                    if kept_count > 1
                        && (choice.bytes / step) as u64 == (last.bytes / step) as u64 =>
                {
                    *last = choice;
                }
                _ => kept.push(choice),
            }
        }
    }
    kept
}

/// The best choice of at most `budget` bytes.
pub fn within(front: &[Choice], budget: f64) -> Option<&Choice> {
    front.iter().rev().find(|choice| choice.bytes <= budget * (1.0 + 1e-9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_is_that_of_all_assignments() {
        let losses = [vec![9.0, 4.0, 1.0], vec![2.0, 1.5, 0.1], vec![30.0, 3.0, 2.0]];
        let bytes = [4.0, 6.0, 8.0];
        let found = front(&losses, &bytes);
        let mut all = Vec::new();
        for i in 0..27 {
            let picks = [i % 3, i / 3 % 3, i / 9];
            let sum = |f: &dyn Fn(usize) -> f64| (0..3).map(f).sum::<f64>();
            all.push((sum(&|p| bytes[picks[p]]), sum(&|p| losses[p][picks[p]])));
        }
        for choice in &found {
            let beaten = |(b, l): &(f64, f64)| *b <= choice.bytes && *l < choice.loss - 1e-12;
            assert!(!all.iter().any(beaten), "{choice:?}");
        }
        let best = within(&found, 18.0).expect("18 bytes are enough");
        let least =
            all.iter().filter(|(b, _)| *b <= 18.0).map(|(_, l)| *l).fold(f64::MAX, f64::min);
        assert_eq!((best.loss, best.bytes <= 18.0), (least, true));
        assert!(within(&found, 11.0).is_none());
    }
}
