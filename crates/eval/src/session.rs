//! Running a model through a policy's caches, a few tokens a step.

use std::time::Instant;

use kvr_models::Decoder;
use kvr_policy::{KvCachePolicy, LayerCache};

use crate::EvalError;
use crate::metrics::nll::nll;
use crate::protocols::Window;

/// One sequence of a model with the caches of one policy.
pub struct Session<'a> {
    decoder: &'a Decoder,
    caches: Vec<Box<dyn LayerCache>>,
    tokens: usize,
}

impl<'a> Session<'a> {
    /// Empty caches.
    ///
    /// # Errors
    /// When the policy can't serve the model.
    pub fn new(decoder: &'a Decoder, policy: &dyn KvCachePolicy) -> Result<Self, EvalError> {
        Ok(Self { decoder, caches: decoder.caches(policy, 1)?, tokens: 0 })
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.caches.iter_mut().for_each(|cache| cache.reset());
        self.tokens = 0;
    }

    /// Appends `tokens` in one step and returns the logits at those of them that `wanted` names
    /// (indices into `tokens`), `[wanted, vocabulary]` row-major.
    ///
    /// # Errors
    /// When a token is not in the vocabulary, or the device fails; reset before going on.
    pub fn step(
        &mut self,
        tokens: &[u32],
        wanted: std::ops::Range<usize>,
    ) -> Result<Vec<f32>, EvalError> {
        let hidden = self.decoder.forward(tokens, 1, self.tokens, &mut self.caches)?;
        self.tokens += tokens.len();
        if wanted.is_empty() {
            // Waits for the device all the same, so that times mean something.
            self.decoder.device().sync().map_err(|e| EvalError::Device(format!("{e:?}")))?;
            return Ok(Vec::new());
        }
        let hidden = hidden.narrow(0, wanted.start, wanted.len());
        let logits = self.decoder.logits(hidden).into_data();
        logits.try_into_vec::<f32>().map_err(|e| EvalError::Device(format!("{e:?}")))
    }

    /// Scores a window from empty caches, `batch` tokens a step: `-ln p` of each scored token, and
    /// the seconds it took.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn score(&mut self, window: &Window, batch: usize) -> Result<(Vec<f64>, f64), EvalError> {
        self.reset();
        let start = Instant::now();
        let mut losses = Vec::with_capacity(window.scored.len());
        for from in (0..window.tokens.len()).step_by(batch) {
            let to = window.tokens.len().min(from + batch);
            let scored = window.scored.start.clamp(from, to)..window.scored.end.clamp(from, to);
            let logits =
                self.step(&window.tokens[from..to], scored.start - from..scored.end - from)?;
            if !scored.is_empty() {
                losses.extend(nll(&logits, &window.tokens[scored.start + 1..scored.end + 1]));
            }
        }
        Ok((losses, start.elapsed().as_secs_f64()))
    }
}
