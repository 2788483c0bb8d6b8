//! Running a model through a policy's caches, a few tokens a step.

use std::sync::Arc;

use burn::Tensor;
use kvr_models::{Caches, Decoder, Lengths};
use kvr_policy::{Context, Footprint, KvCachePolicy, Overflows, PolicyError};

use crate::EvalError;
use crate::report::units;
use crate::run::modes::Mode;
use crate::run::protocols::Window;

/// What to do where a format can't hold a model's values.
pub(crate) const OVERFLOW_FIX: &str =
    "use fp32 or bf16 for them, which hold what the model computes";

/// Overflows in words.
pub(crate) fn overflowed(overflows: Overflows) -> String {
    let Overflows { lost, stored } = overflows;
    format!(
        "{} of {} values that its caches stored are too large for their format",
        units::whole(lost),
        units::whole(stored)
    )
}

/// One sequence of a model with the caches of one policy.
pub struct Session<'a> {
    decoder: &'a Decoder,
    policy: Arc<dyn KvCachePolicy>,
    /// The text that the caches were made for.
    lengths: Lengths,
    /// Counts what these caches can't hold.
    context: Context,
    caches: Caches,
    tokens: usize,
    mode: Mode,
}

impl<'a> Session<'a> {
    /// Empty caches, read as `mode` says, for a text of these lengths.
    ///
    /// # Errors
    /// When the policy can't serve the model, or makes no sense in this mode.
    pub fn new(
        decoder: &'a Decoder,
        policy: &Arc<dyn KvCachePolicy>,
        mode: Mode,
        lengths: Lengths,
    ) -> Result<Self, EvalError> {
        mode.serves(&**policy)?;
        let policy = mode.wrap(policy);
        let context = decoder.context().counting();
        let caches = decoder.caches_in(&*policy, 1, lengths, &context)?;
        Ok(Self { decoder, policy, lengths, context, caches, tokens: 0, mode })
    }

    /// Empties the caches for another text.
    ///
    /// # Errors
    /// When the policy can't serve a text of this length.
    pub fn plan(&mut self, lengths: Lengths) -> Result<(), EvalError> {
        self.reset();
        if lengths != self.lengths {
            self.caches = self.decoder.caches_in(&*self.policy, 1, lengths, &self.context)?;
            self.lengths = lengths;
        }
        Ok(())
    }

    /// Forgets everything and gives the memory of the caches back.
    pub fn reset(&mut self) {
        self.caches.reset();
        self.tokens = 0;
    }

    /// The model.
    pub(crate) fn decoder(&self) -> &'a Decoder {
        self.decoder
    }

    /// Tokens held.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Bytes of the caches of all layers.
    pub fn footprint(&self) -> Footprint {
        self.caches.iter().map(|cache| cache.footprint()).sum()
    }

    /// Values that the caches of this session could not hold, of all that they stored.
    ///
    /// # Errors
    /// When the device fails.
    pub fn overflows(&self) -> Result<Overflows, EvalError> {
        Ok(self.context.overflows().map_err(PolicyError::from)?)
    }

    /// Says that something of this session is no number, and why.
    pub(crate) fn not_a_number(&self, what: &'static str, got: f64) -> EvalError {
        let policy = self.policy.name();
        let cause = match self.overflows() {
            Ok(Overflows { lost: 0, .. }) => {
                "its cache or a kernel is broken for this model".to_owned()
            }
            Ok(overflows) => format!("{}: {OVERFLOW_FIX}", overflowed(overflows)),
            Err(error) => error.to_string(),
        };
        EvalError::NotANumber { policy, what, got, cause }
    }

    /// Appends `tokens` in one step: the final hidden states, `[S, hidden]`. With `ends_prompt` the
    /// prompt is complete with them.
    ///
    /// # Errors
    /// When a token is not in the vocabulary, or the device fails; reset before going on.
    pub fn advance(&mut self, tokens: &[u32], ends_prompt: bool) -> Result<Tensor<2>, EvalError> {
        let (at, caches) = (self.tokens, &mut self.caches);
        let hidden = self.decoder.forward(tokens, 1, at, ends_prompt, caches)?;
        self.tokens += tokens.len();
        Ok(hidden)
    }

    /// Appends `tokens` in one step and returns the logits at those of them that `wanted` names
    /// (indices into `tokens`), `[wanted, vocabulary]` row-major.
    ///
    /// # Errors
    /// As [`advance`](Self::advance).
    pub fn step(
        &mut self,
        tokens: &[u32],
        wanted: std::ops::Range<usize>,
    ) -> Result<Vec<f32>, EvalError> {
        self.step_of(tokens, wanted, false)
    }

    fn step_of(
        &mut self,
        tokens: &[u32],
        wanted: std::ops::Range<usize>,
        ends_prompt: bool,
    ) -> Result<Vec<f32>, EvalError> {
        let hidden = self.advance(tokens, ends_prompt)?;
        if wanted.is_empty() {
            // Waits for the device, so that times include its work.
            sync(self.decoder)?;
            return Ok(Vec::new());
        }
        logits(self.decoder, hidden.narrow(0, wanted.start, wanted.len()))
    }

    /// Appends a prompt, at most `batch` tokens a step: the logits after the last, `[vocabulary]`.
    /// None of no tokens.
    ///
    /// # Errors
    /// As [`advance`](Self::advance).
    pub fn prefill(&mut self, tokens: &[u32], batch: usize) -> Result<Vec<f32>, EvalError> {
        let mut logits = Vec::new();
        let mut left = tokens.len();
        for step in tokens.chunks(batch.max(1)) {
            left -= step.len();
            let wanted = if left == 0 { step.len() - 1..step.len() } else { 0..0 };
            logits = self.step_of(step, wanted, left == 0)?;
        }
        Ok(logits)
    }

    /// Runs a window from empty caches, at most `batch` tokens a step, and empties them again: the
    /// final hidden states at the scored positions, `[scored, hidden]`.
    ///
    /// # Errors
    /// As [`advance`](Self::advance).
    pub fn run(&mut self, window: &Window, batch: usize) -> Result<Tensor<2>, EvalError> {
        self.plan(self.mode.lengths(window))?;
        let mut pieces = Vec::new();
        let prompt = self.mode.prompt(window);
        for step in self.mode.steps(window, batch) {
            let ends_prompt = prompt == Some(step.end);
            let hidden = self.advance(&window.tokens[step.clone()], ends_prompt)?;
            let from = window.scored.start.clamp(step.start, step.end);
            if from < step.end {
                pieces.push(hidden.narrow(0, from - step.start, step.end - from));
            }
        }
        sync(self.decoder)?;
        self.reset();
        Ok(if pieces.len() == 1 { pieces.remove(0) } else { Tensor::cat(pieces, 0) })
    }
}

/// Logits of hidden states `[N, hidden]`, `[N, vocabulary]` row-major.
///
/// # Errors
/// When the device fails.
pub fn logits(decoder: &Decoder, hidden: Tensor<2>) -> Result<Vec<f32>, EvalError> {
    let logits = decoder.logits(hidden).into_data();
    logits.try_into_vec::<f32>().map_err(|e| EvalError::Device(format!("{e:?}")))
}

fn sync(decoder: &Decoder) -> Result<(), EvalError> {
    decoder.device().sync().map_err(|e| EvalError::Device(format!("{e:?}")))
}
