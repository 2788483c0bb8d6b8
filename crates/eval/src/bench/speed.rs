//! Tokens per second of prefill and decode, at any depth.

use std::time::Instant;

use crate::EvalError;
use crate::record::Speed;
use crate::run::metrics::stats::{median, relative_spread};
use crate::run::session::Session;

/// Above this spread (half the distance between quartiles over the median) a timing says little.
pub const USELESS_SPREAD: f64 = 0.15;

/// What is timed.
#[derive(Debug, Clone)]
pub struct Timing {
    /// Tokens held before the clock runs.
    pub depth: usize,
    /// Tokens of the timed prefill.
    pub prompt: usize,
    /// Tokens that are decoded one by one.
    pub decode: usize,
    /// Rounds after the one that warms up.
    pub rounds: usize,
    /// Tokens a step of prefill.
    pub batch: usize,
}

impl Timing {
    /// Tokens held at the end of a round.
    ///
    /// # Errors
    /// When they are more than this machine can count.
    pub fn tokens(&self) -> Result<usize, EvalError> {
        let sum = self.depth.checked_add(self.prompt).and_then(|n| n.checked_add(self.decode));
        sum.ok_or_else(|| {
            EvalError::Setting(format!(
                "--depth {}, --prompt {} and --decode {} are too many tokens together: give fewer",
                self.depth, self.prompt, self.decode
            ))
        })
    }
}

/// Times decode and prefill of some token ids (repeated as needed) on top of `depth` tokens:
/// medians over rounds, with their spread.
///
/// `first_token_s` is the time for a prompt of `depth` tokens (of `prompt` tokens at depth 0).
///
/// # Errors
/// When the device fails.
pub fn measure(
    session: &mut Session<'_>,
    ids: &[u32],
    timing: &Timing,
) -> Result<Speed, EvalError> {
    let Timing { depth, prompt, decode, rounds, batch } = *timing;
    let text: Vec<u32> = ids.iter().copied().cycle().take(timing.tokens()?).collect();
    let (filled, rest) = text.split_at(depth);
    let (one_by_one, prompt_tokens) = rest.split_at(decode);
    let (mut prefills, mut decodes, mut firsts) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        session.reset();
        let first = prefill(session, filled, batch)?;
        let mut tokens = Vec::new();
        for token in one_by_one {
            let start = Instant::now();
            session.step(&[*token], 0..1)?;
            tokens.push(start.elapsed().as_secs_f64());
        }
        if depth == 0 {
            session.reset();
        }
        let seconds = prefill(session, prompt_tokens, batch)?;
        if round > 0 {
            firsts.push(if depth == 0 { seconds } else { first });
            prefills.push(prompt as f64 / seconds);
            decodes.extend(tokens.iter().map(|s| 1.0 / s));
        }
    }
    session.reset();
    Ok(Speed {
        prefill_s: None,
        prefill_tok_s: median(&prefills).filter(|_| prompt > 0),
        decode_tok_s: median(&decodes),
        prefill_spread: relative_spread(&prefills).filter(|_| prompt > 0),
        decode_spread: relative_spread(&decodes),
        first_token_s: median(&firsts),
    })
}

/// Seconds to append `tokens` and make the logits of the last.
fn prefill(session: &mut Session<'_>, tokens: &[u32], batch: usize) -> Result<f64, EvalError> {
    let start = Instant::now();
    session.prefill(tokens, batch)?;
    Ok(start.elapsed().as_secs_f64())
}

/// What a reader should know of these timings.
pub fn warnings(speed: &Speed) -> Vec<String> {
    let spreads = [("prefill", speed.prefill_spread), ("decode", speed.decode_spread)];
    let useless = spreads
        .into_iter()
        .filter_map(|(what, s)| s.filter(|s| *s > USELESS_SPREAD).map(|s| (what, s)));
    useless
        .map(|(what, s)| {
            format!(
                "{what} times spread by {:.0} % around their median: measure on an idle machine",
                100.0 * s
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_tokens_are_refused() {
        let timing = |depth| Timing { depth, prompt: 64, decode: 16, rounds: 1, batch: 512 };
        assert_eq!(timing(300).tokens().expect("few"), 380);
        let error = timing(usize::MAX - 64).tokens().expect_err("too many").to_string();
        assert!(error.contains("--depth") && error.contains("give fewer"), "{error}");
    }
}
