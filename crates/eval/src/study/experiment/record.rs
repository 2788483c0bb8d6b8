//! The record of one policy in an experiment: its losses, memory, speed and warnings.

use std::sync::Arc;

use kvr_models::Lengths;
use kvr_policy::KvCachePolicy;

use super::Experiment;
use crate::EvalError;
use crate::bench::attention::unfused_warning;
use crate::bench::memory;
use crate::bench::speed::{self, Timing};
use crate::record::{Memory, Provenance, Record, Speed};
use crate::run::modes::Mode;
use crate::run::runner::Outcome;
use crate::run::session::{OVERFLOW_FIX, Session, overflowed};
use crate::run::summary;

/// What a record says of attention on matrix units.
const MATRICES: &str = "attention on matrix units rounds queries, decoded values and weights to \
                        f16, and which steps run there depends on --batch";

/// Tokens generated one by one to time decoding, in each of two rounds; the first round warms up.
const DECODE_TOKENS: usize = 16;

impl Experiment<'_> {
    /// What was measured of a policy, compared with `baseline` where there is one.
    pub(super) fn record(
        &self,
        policy: &Arc<dyn KvCachePolicy>,
        outcome: &Outcome,
        baseline: Option<(&str, Option<&str>)>,
        provenance: &Provenance,
    ) -> Result<Record, EvalError> {
        let cell = self.cell(&**policy);
        let is_baseline = baseline.is_some_and(|(name, config)| match config {
            Some(config) => config == cell.policy_config,
            None => name == cell.policy,
        });
        let comparison = baseline.map(|b| summary::comparison(outcome, b, is_baseline));
        let mut warnings = self.plan.warnings.clone();
        if self.plan.blocks() < 2 {
            warnings.push(
                "a single block of text: no standard error; give more text or --chunks".into(),
            );
        }
        if !policy.promise().streaming_exact {
            warnings.push(format!(
                "{} is not streaming-exact: its numbers depend on --batch ({} tokens a step here)",
                cell.policy, self.batch
            ));
        }
        if outcome.overflows.lost > 0 {
            let what = overflowed(outcome.overflows);
            warnings.push(format!("{}: {what}: {OVERFLOW_FIX}", cell.policy));
        }
        if self.model.sha256.is_none() {
            warnings.push("random weights: perplexity means nothing, speed and memory do".into());
        }
        let retrieval = self.plan.answers.then(|| summary::retrieval(outcome));
        if is_baseline && retrieval.as_ref().is_some_and(|r| r.exact_match == 0.0) {
            warnings.push(
                "the baseline never gives the whole answer: the model is too weak for exact match \
                to tell policies apart; see tokens right and the answer's loss"
                    .into(),
            );
        }
        let speed = self.speed(policy, outcome)?;
        if speed.prefill_tok_s.is_some() && outcome.seconds.len() < 4 {
            warnings.push(format!(
                "prefill speed is the median of {} window(s)",
                outcome.seconds.len().saturating_sub(1).max(1)
            ));
        }
        let geometry = &self.model.decoder.spec().geometry;
        let context = self.model.decoder.context();
        if context.matrices.is_some() {
            warnings.push(MATRICES.to_owned());
        }
        warnings.extend(unfused_warning(geometry, &**policy, context)?);
        Ok(Record {
            provenance: provenance.clone(),
            cell,
            quality: Some(summary::quality(outcome)),
            text: self.plan.sizes.as_ref().map(|sizes| summary::text_quality(outcome, sizes)),
            retrieval,
            comparison,
            divergence: summary::divergence(outcome).filter(|_| !is_baseline),
            memory: self.memory(policy)?,
            speed: Some(speed),
            warnings,
        })
    }

    fn speed(
        &self,
        policy: &Arc<dyn KvCachePolicy>,
        outcome: &Outcome,
    ) -> Result<Speed, EvalError> {
        let window = &self.plan.windows[0];
        // Token by token is not prefill, and windows of several sizes have no common speed.
        let one_size = self.plan.windows.iter().all(|w| w.scored.end == window.scored.end);
        let (seconds, total) = summary::window_seconds(&outcome.seconds);
        let seconds = seconds.filter(|_| self.mode != Mode::Decode && one_size);
        let depth = window.tokens.len() / 2;
        let timing =
            Timing { depth, prompt: 0, decode: DECODE_TOKENS, rounds: 1, batch: self.batch };
        let mode = Mode::of_generation(&**policy);
        let longest = depth + DECODE_TOKENS;
        let planned = if mode == Mode::PostPrefill { depth } else { longest };
        let lengths = Lengths { planned: Some(planned), longest };
        let mut session = Session::new(&self.model.decoder, policy, mode, lengths)?;
        let decode = speed::measure(&mut session, &window.tokens, &timing)?;
        Ok(Speed {
            prefill_s: seconds.map(|_| total),
            prefill_tok_s: seconds.map(|s| window.scored.end as f64 / s),
            decode_tok_s: decode.decode_tok_s,
            ..Speed::default()
        })
    }

    fn memory(&self, policy: &Arc<dyn KvCachePolicy>) -> Result<Memory, EvalError> {
        let geometry = &self.model.decoder.spec().geometry;
        // Policies that evict or keep a window cost other bytes a token at other lengths.
        memory::record(geometry, &**policy, self.ctx, self.model.decoder.context())
    }
}
