//! Policies over the windows of a plan, side by side with the baseline.
//!
//! The windows are the outer loop: of each, the baseline goes first, and its final hidden states
//! stay until every policy has seen the window. So divergences need one pass and no file, and one
//! cache is filled at a time. Logits are made a few rows at a time, the baseline's anew for each
//! policy, which costs an output layer and saves a window of logits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use burn::Tensor;
use burn::tensor::TensorData;
use kvr_models::{Decoder, Lengths, Model};
use kvr_policy::{KvCachePolicy, Overflows};

use crate::EvalError;
use crate::run::baseline::{BaselineFile, BaselineWriter};
use crate::run::metrics::rows::{Difference, Score, differences, scores};
use crate::run::modes::Mode;
use crate::run::protocols::{Plan, Window};
use crate::run::session::{Session, logits};

/// Rows of logits that exist at a time, of the policy and of the baseline each.
const LOGIT_ROWS: usize = 256;

/// What policies are compared with.
#[derive(Debug, Clone, Copy)]
pub enum Reference<'a> {
    /// Nothing.
    None,
    /// The first policy of the line-up.
    First,
    /// Hidden states that an earlier evaluation saved.
    File(&'a BaselineFile),
}

/// What was measured of one policy; values of a block of the text stand together.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// `-ln p` of each scored token, in nats.
    pub losses: Vec<Vec<f64>>,
    /// Whether the scored token was the likeliest.
    pub hits: Vec<Vec<bool>>,
    /// The baseline's `-ln p` of each scored token, where there is a baseline.
    pub base_losses: Vec<Vec<f64>>,
    /// Differences to the baseline, where there is one.
    pub differences: Vec<Vec<Difference>>,
    /// Seconds that each window took, its scored logits included and the comparison not.
    pub seconds: Vec<f64>,
    /// Values that the policy's caches could not hold.
    pub overflows: Overflows,
}

/// The baseline's view of one window.
struct Base {
    hidden: Tensor<2>,
    scores: Vec<Score>,
}

/// Evaluates policies over a plan: an outcome each, in their order, or why there is none. A policy
/// that fails is left out from then on, and the others go on; where the [first](Reference::First)
/// fails, what they were compared with, they have no comparison. `progress` is called after every
/// window of every policy.
///
/// # Errors
/// When a policy can't serve the model, or the reference can't be read or saved.
pub fn evaluate(
    model: &Model,
    plan: &Plan,
    (mode, batch): (Mode, usize),
    policies: &[Arc<dyn KvCachePolicy>],
    reference: Reference<'_>,
    mut save: Option<&mut BaselineWriter>,
    progress: &mut dyn FnMut(),
) -> Result<Vec<Result<Outcome, EvalError>>, EvalError> {
    let decoder = &model.decoder;
    let lengths = plan.windows.first().map_or(Lengths::of(1), |window| mode.lengths(window));
    let sessions = policies.iter().map(|policy| Session::new(decoder, policy, mode, lengths));
    let mut sessions = sessions.collect::<Result<Vec<_>, _>>()?;
    let mut outcomes: Vec<_> = policies.iter().map(|_| Ok(Outcome::default())).collect();
    let mut row = 0;
    for window in &plan.windows {
        let mut base = match reference {
            Reference::File(file) => {
                let rows = file.rows(row, window.scored.len())?;
                let width = decoder.spec().hidden_size;
                let data = TensorData::new(rows, [window.scored.len(), width]);
                let hidden = Tensor::from_data(data, decoder.device());
                let Comparison { scores, .. } = compare(decoder, &hidden, window, None)?;
                Some(Base { hidden, scores })
            }
            Reference::None | Reference::First => None,
        };
        row += window.scored.len();
        for (i, (session, done)) in sessions.iter_mut().zip(&mut outcomes).enumerate() {
            let Ok(outcome) = done else {
                progress();
                continue;
            };
            match outcome.window(session, window, batch, base.as_ref()) {
                Ok(seen) if i == 0 => {
                    if let Some(writer) = &mut save {
                        let rows = seen.hidden.clone().into_data().try_into_vec::<f32>();
                        writer.push(&rows.map_err(|e| EvalError::Device(format!("{e:?}")))?)?;
                    }
                    if matches!(reference, Reference::First) {
                        base = Some(seen);
                    }
                }
                Ok(_) => {}
                Err(error) => *done = Err(error),
            }
            progress();
        }
    }
    let lost = matches!(reference, Reference::First) && matches!(outcomes.first(), Some(Err(_)));
    for (session, done) in sessions.iter().zip(&mut outcomes) {
        let Ok(outcome) = done else { continue };
        match session.overflows() {
            Ok(overflows) => outcome.overflows = overflows,
            Err(error) => *done = Err(error),
        }
    }
    if lost {
        for outcome in outcomes.iter_mut().flatten() {
            (outcome.base_losses, outcome.differences) = (Vec::new(), Vec::new());
        }
    }
    Ok(outcomes)
}

/// What the hidden states of a window say.
#[derive(Default)]
struct Comparison {
    scores: Vec<Score>,
    /// Differences to the baseline, where there is one.
    differences: Vec<Difference>,
    /// Time for the policy's own logits and scores.
    own: Duration,
}

/// Scores hidden states at a window's scored positions, and compares them with the baseline's.
fn compare(
    decoder: &Decoder,
    hidden: &Tensor<2>,
    window: &Window,
    base: Option<&Base>,
) -> Result<Comparison, EvalError> {
    let targets = window.targets();
    let mut all = Comparison::default();
    for from in (0..targets.len()).step_by(LOGIT_ROWS) {
        let rows = from..targets.len().min(from + LOGIT_ROWS);
        let part = |hidden: &Tensor<2>| hidden.clone().narrow(0, rows.start, rows.len());
        let start = Instant::now();
        let ours = logits(decoder, part(hidden))?;
        let scores = scores(&ours, &targets[rows.clone()]);
        all.own += start.elapsed();
        if let Some(base) = base {
            let theirs = logits(decoder, part(&base.hidden))?;
            let theirs = (theirs.as_slice(), &base.scores[rows.clone()]);
            all.differences.extend(differences((&ours, &scores), theirs));
        }
        all.scores.extend(scores);
    }
    Ok(all)
}

/// The values of `block`, which is the last one or a new one.
fn block<T>(blocks: &mut Vec<Vec<T>>, block: usize) -> &mut Vec<T> {
    if blocks.len() <= block {
        blocks.resize_with(block + 1, Vec::new);
    }
    &mut blocks[block]
}

impl Outcome {
    /// Runs a window and takes in what it says, compared with the baseline where there is one.
    fn window(
        &mut self,
        session: &mut Session<'_>,
        window: &Window,
        batch: usize,
        base: Option<&Base>,
    ) -> Result<Base, EvalError> {
        let start = Instant::now();
        let hidden = session.run(window, batch)?;
        let forward = start.elapsed();
        let Comparison { scores, differences, own } =
            compare(session.decoder(), &hidden, window, base)?;
        if let Some(bad) = scores.iter().map(|s| s.nll).find(|nll| !nll.is_finite()) {
            return Err(session.not_a_number("the loss of a token", bad));
        }
        self.seconds.push((forward + own).as_secs_f64());
        self.add(window, &scores, base.map(|base| (base, differences)));
        Ok(Base { hidden, scores })
    }

    fn add(&mut self, window: &Window, scores: &[Score], base: Option<(&Base, Vec<Difference>)>) {
        let at = window.block;
        block(&mut self.losses, at).extend(scores.iter().map(|s| s.nll));
        let hits = scores.iter().zip(window.targets()).map(|(s, target)| s.top == *target);
        block(&mut self.hits, at).extend(hits);
        if let Some((base, differences)) = base {
            block(&mut self.base_losses, at).extend(base.scores.iter().map(|s| s.nll));
            block(&mut self.differences, at).extend(differences);
        }
    }
}
