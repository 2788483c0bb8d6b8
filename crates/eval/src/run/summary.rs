//! From what was measured to the parts of a record.

use crate::record::{Comparison, Divergence, Quality, Retrieval, TextQuality};
use crate::run::metrics::rows::Difference;
use crate::run::metrics::stats::{Estimate, mean, mean_of, median, paired, quantile, ratio};
use crate::run::protocols::TextSize;
use crate::run::runner::Outcome;

/// Loss and perplexity.
pub(crate) fn quality(outcome: &Outcome) -> Quality {
    let nll = mean(&outcome.losses);
    let perplexity = nll.exp();
    Quality {
        nll: nll.mean,
        nll_stderr: nll.stderr,
        perplexity: perplexity.mean,
        perplexity_stderr: perplexity.stderr,
    }
}

/// Loss by word, byte and bit.
pub(crate) fn text_quality(outcome: &Outcome, sizes: &[TextSize]) -> TextQuality {
    let sums: Vec<f64> = outcome.losses.iter().map(|block| block.iter().sum()).collect();
    let by = |size: fn(&TextSize) -> usize| {
        ratio(&sums, &sizes.iter().map(|s| size(s) as f64).collect::<Vec<_>>())
    };
    let (word, byte) = (by(|s| s.words), by(|s| s.bytes));
    let (words, bytes) = (word.exp(), byte.exp());
    let bits = byte.scale(std::f64::consts::LOG2_E);
    TextQuality {
        words: sizes.iter().map(|s| s.words).sum(),
        bytes: sizes.iter().map(|s| s.bytes).sum(),
        word_perplexity: words.mean,
        word_perplexity_stderr: words.stderr,
        byte_perplexity: bytes.mean,
        byte_perplexity_stderr: bytes.stderr,
        bits_per_byte: bits.mean,
        bits_per_byte_stderr: bits.stderr,
    }
}

/// Shares of right answers and of right tokens.
///
/// Answers are few and often all right or all wrong, where the usual error would be zero: theirs is
/// Agresti and Coull's (1998), as if two more had been right and two more wrong.
pub(crate) fn retrieval(outcome: &Outcome) -> Retrieval {
    let share = |hit: &bool| f64::from(u8::from(*hit));
    let answers: Vec<Vec<bool>> =
        outcome.hits.iter().map(|block| vec![block.iter().all(|hit| *hit)]).collect();
    let (answers, tokens) = (mean_of(&answers, share), mean_of(&outcome.hits, share));
    Retrieval {
        exact_match: answers.mean,
        exact_match_stderr: Some(share_error(answers.mean, outcome.hits.len())),
        token_accuracy: tokens.mean,
        token_accuracy_stderr: tokens.stderr,
    }
}

/// The standard error of a share of `n` independent trials.
fn share_error(share: f64, n: usize) -> f64 {
    let trials = n as f64 + 4.0;
    let centre = (share * n as f64 + 2.0) / trials;
    (centre * (1.0 - centre) / trials).sqrt()
}

/// The paired difference of losses; none, and certain, for the baseline itself.
pub(crate) fn comparison(
    outcome: &Outcome,
    (baseline, config): (&str, Option<&str>),
    is_baseline: bool,
) -> Comparison {
    let delta = match is_baseline {
        true => Estimate::ZERO,
        false => paired(&outcome.losses, &outcome.base_losses),
    };
    let ratio = delta.exp();
    Comparison {
        baseline: baseline.to_owned(),
        baseline_config: config.map(str::to_owned),
        delta_nll: delta.mean,
        delta_nll_stderr: delta.stderr,
        perplexity_ratio: ratio.mean,
        perplexity_ratio_stderr: ratio.stderr,
    }
}

/// Divergence from the baseline; `None` for the baseline itself and where there is none.
pub(crate) fn divergence(outcome: &Outcome) -> Option<Divergence> {
    let blocks = &outcome.differences;
    let mut klds: Vec<f64> = blocks.iter().flatten().map(|d| d.kld).collect();
    klds.sort_by(f64::total_cmp);
    let at = |q| quantile(&klds, q);
    let of = |f: fn(&Difference) -> f64| mean_of(blocks, f);
    let (kld, same) = (of(|d| d.kld), of(|d| f64::from(u8::from(d.same_top))));
    let rms = of(|d| d.dp * d.dp).sqrt();
    Some(Divergence {
        kld_median: at(0.5)?,
        kld_p99: at(0.99)?,
        kld_p999: at(0.999)?,
        kld_max: at(1.0)?,
        kld_mean: kld.mean,
        kld_stderr: kld.stderr,
        same_top: same.mean,
        same_top_stderr: same.stderr,
        rms_dp: rms.mean,
        rms_dp_stderr: rms.stderr,
    })
}

/// Median seconds of the windows but the first, which warms up; and all those seconds.
pub(crate) fn window_seconds(seconds: &[f64]) -> (Option<f64>, f64) {
    let timed = if seconds.len() > 1 { &seconds[1..] } else { seconds };
    (median(timed), timed.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hand_worked_text_quality() {
        // Two articles: 2 nats over 4 words and 8 bytes, 6 nats over 4 words and 24 bytes.
        let losses = vec![vec![1.0, 1.0], vec![6.0]];
        let sizes = [TextSize { words: 4, bytes: 8 }, TextSize { words: 4, bytes: 24 }];
        let got = text_quality(&Outcome { losses, ..Outcome::default() }, &sizes);
        assert_eq!((got.words, got.bytes), (8, 32));
        // 8 nats in 8 words, in 32 bytes, of 1/ln 2 bits each.
        assert!((got.word_perplexity - 1f64.exp()).abs() < 1e-12);
        assert!((got.byte_perplexity - 0.25f64.exp()).abs() < 1e-12);
        assert!((got.bits_per_byte - 0.25 / 2f64.ln()).abs() < 1e-12);
        // Both articles have 0.25 nats a byte, so that mean has no error. By words they are 2 off:
        // 2·sqrt(2)/8 · sqrt(2).
        assert!(got.byte_perplexity_stderr.expect("two articles").abs() < 1e-12);
        let word = got.word_perplexity_stderr.expect("two articles");
        assert!((word - 0.5 * 1f64.exp()).abs() < 1e-12, "{word}");
    }

    #[test]
    fn hand_worked_retrieval() {
        let hits = vec![vec![true, true], vec![true, false]];
        let got = retrieval(&Outcome { hits, ..Outcome::default() });
        assert_eq!((got.exact_match, got.token_accuracy), (0.5, 0.75));
        // One of two: (1 + 2) of (2 + 4), and sqrt(0.5 · 0.5 / 6).
        let error = got.exact_match_stderr.expect("two samples");
        assert!((error - (0.25f64 / 6.0).sqrt()).abs() < 1e-12, "{error}");
        assert!(share_error(0.0, 20) > 0.05, "none of twenty is not certain");
    }
}
