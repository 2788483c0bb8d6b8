//! Text from a model, token by token, under any policy.

use std::time::Instant;

use kvr_models::Lengths;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::EvalError;
use crate::run::session::Session;

/// How the next token is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// 0 takes the likeliest token; 1 samples from the model's distribution.
    pub temperature: f64,
    /// Sample from the likeliest tokens that together have this probability.
    pub top_p: f64,
    /// Seed of the choice.
    pub seed: u64,
}

impl Sampling {
    /// Always the likeliest token.
    pub const GREEDY: Self = Self { temperature: 0.0, top_p: 1.0, seed: 0 };

    /// Refuses settings out of range.
    ///
    /// # Errors
    /// When the temperature is negative, or top_p is not above 0 and at most 1.
    pub fn check(self) -> Result<Self, EvalError> {
        let temperature = self.temperature.is_finite() && self.temperature >= 0.0;
        if temperature && self.top_p > 0.0 && self.top_p <= 1.0 {
            return Ok(self);
        }
        Err(EvalError::Setting(format!(
            "--temp {} --top-p {}: give a temperature of 0 or more, and a top-p above 0 and at \
            most 1",
            self.temperature, self.top_p
        )))
    }
}

/// When to stop.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Tokens to generate at most.
    pub tokens: usize,
    /// Tokens of prompt and text together at most.
    pub ctx: usize,
    /// The tokens that end a text.
    pub eos: Vec<u32>,
    /// Tokens a step of prefill.
    pub batch: usize,
}

/// What was generated, and how fast.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Generated {
    /// The new tokens.
    pub tokens: Vec<u32>,
    /// Seconds until the first of them was known.
    pub first_token_s: f64,
    /// Tokens per second of the others.
    pub decode_tok_s: Option<f64>,
}

/// Continues `prompt` from empty caches. `each` is called with every new token.
///
/// # Errors
/// When the prompt is empty or leaves no room, or the device fails; or what `each` returns.
pub fn generate(
    session: &mut Session<'_>,
    prompt: &[u32],
    limits: &Limits,
    sampling: Sampling,
    each: &mut dyn FnMut(u32) -> Result<(), EvalError>,
) -> Result<Generated, EvalError> {
    if prompt.is_empty() || prompt.len() >= limits.ctx {
        return Err(EvalError::Setting(format!(
            "the prompt has {} tokens, and -c {} must hold it and at least one more: give a \
            prompt that fits",
            prompt.len(),
            limits.ctx
        )));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(sampling.seed);
    let mut out = Generated::default();
    let start = Instant::now();
    let wanted = limits.tokens.min(limits.ctx - prompt.len());
    let (planned, longest) = (Some(prompt.len()), prompt.len() + wanted);
    session.plan(Lengths { planned, longest })?;
    let mut logits = session.prefill(prompt, limits.batch)?;
    let mut decode_start = Instant::now();
    while out.tokens.len() < wanted {
        if let Some(bad) = logits.iter().find(|logit| !logit.is_finite()) {
            return Err(session.not_a_number("a logit", f64::from(*bad)));
        }
        let token = choose(&mut logits, sampling, &mut rng);
        if out.tokens.is_empty() {
            out.first_token_s = start.elapsed().as_secs_f64();
            decode_start = Instant::now();
        }
        if limits.eos.contains(&token) {
            break;
        }
        out.tokens.push(token);
        each(token)?;
        if out.tokens.len() < wanted {
            logits = session.step(&[token], 0..1)?;
        }
    }
    let decoded = out.tokens.len().saturating_sub(1);
    out.decode_tok_s = (decoded > 0).then(|| decoded as f64 / decode_start.elapsed().as_secs_f64());
    Ok(out)
}

/// The next token by its logits, which are changed.
fn choose(logits: &mut [f32], sampling: Sampling, rng: &mut ChaCha8Rng) -> u32 {
    let first_of_largest = |best: usize, i: usize, x: &[f32]| if x[i] > x[best] { i } else { best };
    let top = (0..logits.len()).fold(0, |best, i| first_of_largest(best, i, logits));
    if sampling.temperature == 0.0 {
        return top as u32;
    }
    let max = f64::from(logits[top]);
    let weight = |x: f32| ((f64::from(x) - max) / sampling.temperature).exp();
    let mut order: Vec<(f64, u32)> =
        logits.iter().enumerate().map(|(i, x)| (weight(*x), i as u32)).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    let total: f64 = order.iter().map(|(w, _)| w).sum();
    let mut kept = 0.0;
    let cut = order.iter().position(|(w, _)| {
        kept += w;
        kept >= sampling.top_p * total
    });
    order.truncate(cut.map_or(order.len(), |i| i + 1));
    let kept: f64 = order.iter().map(|(w, _)| w).sum();
    let mut point = rng.random_range(0.0..1.0) * kept;
    for (weight, token) in &order {
        point -= weight;
        if point <= 0.0 {
            return *token;
        }
    }
    top as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampling_follows_the_distribution_and_its_limits() {
        let logits = [0.0f32, 2f32.ln(), f32::MIN, 5f32.ln()]; // 1/8, 2/8, 0, 5/8
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut counts = |temperature, top_p| {
            let mut counts = [0; 4];
            let sampling = Sampling { temperature, top_p, seed: 0 };
            for _ in 0..8000 {
                counts[choose(&mut logits.clone(), sampling, &mut rng) as usize] += 1;
            }
            counts
        };
        assert_eq!(counts(0.0, 1.0), [0, 0, 0, 8000]);
        let all = counts(1.0, 1.0);
        for (count, want) in all.iter().zip([1000, 2000, 0, 5000]) {
            assert!((*count as f64 - f64::from(want)).abs() < 200.0, "{all:?}");
        }
        assert_eq!(counts(1.0, 0.6)[..3], [0, 0, 0]);
        assert_eq!(counts(1.0, 0.7)[0], 0);
        assert!(counts(0.5, 1.0)[3] > all[3]);
        assert!(Sampling { temperature: -1.0, ..Sampling::GREEDY }.check().is_err());
        assert!(Sampling { top_p: 0.0, ..Sampling::GREEDY }.check().is_err());
    }
}
