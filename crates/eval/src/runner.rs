//! Evaluating policies on one text, each beside the baseline.

use std::time::Instant;

use kvr_models::Model;
use kvr_policy::{Footprint, KvCachePolicy};

use crate::metrics::stats::{Estimate, estimate, median, paired};
use crate::protocols::Window;
use crate::session::Session;
use crate::{EvalError, memory};

/// Tokens generated one by one to time decoding, after one that warms up.
const DECODE_TOKENS: usize = 16;

/// The settings of one evaluation.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Tokens appended in one step.
    pub batch: usize,
    /// Context at which the cache's memory is measured for the table, in tokens.
    pub memory_ctx: usize,
}

/// What was measured of one policy.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// `-ln p` of each scored token, by window.
    pub losses: Vec<Vec<f64>>,
    /// Their mean, in nats per token.
    pub nll: Estimate,
    /// Mean difference to the baseline over the same tokens, where there is a baseline.
    pub delta: Option<Estimate>,
    /// The cache at [`Settings::memory_ctx`].
    pub context_memory: Footprint,
    /// Seconds for all windows but the first, which warms up (for the first where there is but one).
    pub prefill_s: f64,
    /// Tokens per second over a window, scored logits included: the median of the windows.
    pub prefill_tok_s: f64,
    /// Tokens per second one by one, from half a window of context on: the median.
    pub decode_tok_s: f64,
    /// What a reader of the numbers should know.
    pub warnings: Vec<String>,
}

/// Evaluates one policy. `progress` is called after every window.
///
/// # Errors
/// When the policy can't serve the model, or the device fails.
pub fn evaluate(
    model: &Model,
    policy: &dyn KvCachePolicy,
    windows: &[Window],
    settings: &Settings,
    baseline: Option<&Outcome>,
    progress: &mut dyn FnMut(),
) -> Result<Outcome, EvalError> {
    let mut session = Session::new(&model.decoder, policy)?;
    let (mut losses, mut seconds) = (Vec::with_capacity(windows.len()), Vec::new());
    for window in windows {
        let (window_losses, elapsed) = session.score(window, settings.batch)?;
        if let Some(bad) = window_losses.iter().find(|l| !l.is_finite()) {
            return Err(EvalError::Device(format!(
                "the loss of a token is {bad} under policy {}: its cache or kernel is broken for this model",
                policy.name()
            )));
        }
        losses.push(window_losses);
        seconds.push(elapsed);
        progress();
    }
    let nll = estimate(&losses);
    let mut warnings = Vec::new();
    if nll.stderr.is_none() {
        warnings.push("a single window: no standard error; give more text or --chunks".to_owned());
    }
    let timed = warmed_up(&seconds);
    if timed.len() < 3 {
        warnings.push(format!("speed is the median of {} window(s)", timed.len()));
    }
    let tokens = windows.first().map_or(0, |w| w.tokens.len()) as f64;
    let decode_tok_s = decode_speed(&mut session, windows, settings.batch)?;
    drop(session);
    Ok(Outcome {
        delta: baseline.map(|b| paired(&losses, &b.losses)),
        context_memory: memory::measure(
            &model.decoder.spec().geometry,
            policy,
            settings.memory_ctx,
            model.decoder.device(),
        )?,
        prefill_s: timed.iter().sum(),
        prefill_tok_s: tokens / median(timed).unwrap_or(f64::INFINITY),
        decode_tok_s,
        losses,
        nll,
        warnings,
    })
}

/// All but the first of some times, which warms up; the first where it is the only one.
fn warmed_up(seconds: &[f64]) -> &[f64] {
    if seconds.len() > 1 { &seconds[1..] } else { seconds }
}

/// Tokens per second when the tokens after half a window come one at a time.
fn decode_speed(
    session: &mut Session<'_>,
    windows: &[Window],
    batch: usize,
) -> Result<f64, EvalError> {
    let Some(window) = windows.first() else { return Ok(f64::NAN) };
    let (prompt, rest) = window.tokens.split_at(window.tokens.len() / 2);
    session.reset();
    for step in prompt.chunks(batch) {
        session.step(step, 0..0)?;
    }
    let mut seconds = Vec::new();
    for token in rest.iter().take(1 + DECODE_TOKENS) {
        let start = Instant::now();
        session.step(&[*token], 0..1)?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    Ok(median(warmed_up(&seconds)).map_or(f64::NAN, |s| 1.0 / s))
}
