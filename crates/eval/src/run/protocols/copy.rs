//! A passage of random tokens, repeated: does the model continue it as before?
//!
//! Each sample is BOS, a passage, and the passage again; every token of the repetition but its
//! first is scored. Nothing but the cache says what comes next, and even small models do it
//! (induction), so it separates policies where a pass key is out of reach.
//!
//! Source: the repeated random tokens of Olsson et al. 2022, "In-context Learning and Induction
//! Heads".

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Plan, Protocol, Request, Window, at_least};
use crate::EvalError;

/// Samples where none are asked for.
const SAMPLES: usize = 20;

/// The first token that a passage may use: special tokens come before it in most vocabularies.
const FIRST_TOKEN: u32 = 10;

pub(super) struct Copy;

impl Protocol for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }

    fn version(&self) -> u32 {
        1
    }

    fn summary(&self) -> &'static str {
        "random tokens repeated: how many of the repetition are predicted"
    }

    fn default_ctx(&self, longest: usize) -> usize {
        longest.min(256)
    }

    fn has_prompt(&self) -> bool {
        true
    }

    fn synthetic(&self) -> bool {
        true
    }

    fn plan(&self, request: &Request<'_>) -> Result<Plan, EvalError> {
        at_least(request.ctx, 8)?;
        let last = request.encoder.vocabulary() as u32;
        let bos = request.encoder.bos();
        let length = (request.ctx - usize::from(bos.is_some())) / 2;
        let windows = (0..request.chunks.unwrap_or(SAMPLES)).map(|sample| {
            let mut rng = ChaCha8Rng::seed_from_u64(request.seed);
            rng.set_stream(sample as u64);
            let passage: Vec<u32> =
                (0..length).map(|_| rng.random_range(FIRST_TOKEN.min(last - 1)..last)).collect();
            let tokens: Vec<u32> = bos.into_iter().chain(passage.repeat(2)).collect();
            Window { scored: tokens.len() - length..tokens.len() - 1, tokens, block: sample }
        });
        Ok(Plan { windows: windows.collect(), answers: true, ..Plan::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::request;
    use super::*;

    #[test]
    fn the_repetition_is_scored() {
        let request = Request { ctx: 21, chunks: Some(2), ..request() };
        let plan = Copy.plan(&request).expect("samples");
        let window = &plan.windows[1];
        assert_eq!((window.tokens.len(), window.tokens[0], window.block), (21, 1, 1));
        assert_eq!(window.tokens[1..11], window.tokens[11..]);
        assert_eq!(window.targets(), &window.tokens[12..]);
        assert_ne!(plan.windows[0].tokens, window.tokens);
        let other = Copy.plan(&Request { seed: 1, ..request }).expect("samples");
        assert_ne!(other.windows[1].tokens, window.tokens);
    }
}
