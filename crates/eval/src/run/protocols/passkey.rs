//! A number hidden in a long text, and asked for at its end.
//!
//! Each sample is exactly `ctx` tokens: a task, filler, the needle with a pass key of five digits
//! at `depth` percent of the filler, more filler, and a question whose answer is scored. Perplexity
//! over ordinary text hides whether a policy keeps one fact; this does not.
//!
//! Source: Mohtashami and Jaggi 2023, "Landmark Attention"; the words are theirs. Deviation: the
//! answer is teacher-forced, which gives the same exact match as greedy generation, and a loss
//! as well, which tells policies apart where a model is too weak to match.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Plan, Protocol, Request, Window};
use crate::EvalError;

/// Samples where none are asked for.
const SAMPLES: usize = 20;

const TASK: &str = "There is an important info hidden inside a lot of irrelevant text. \
    Find it and memorize them. I will quiz you about the important information there.\n";
const FILLER: &str =
    " The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.";
const QUESTION: &str = "\nWhat is the pass key? The pass key is";

pub(super) struct Passkey;

impl Protocol for Passkey {
    fn name(&self) -> &'static str {
        "passkey"
    }

    fn version(&self) -> u32 {
        1
    }

    fn summary(&self) -> &'static str {
        "a number hidden at a depth of a text of ctx tokens, asked for at its end"
    }

    fn default_ctx(&self, longest: usize) -> usize {
        longest.min(512)
    }

    fn has_prompt(&self) -> bool {
        true
    }

    fn synthetic(&self) -> bool {
        true
    }

    fn hides(&self) -> bool {
        true
    }

    fn plan(&self, request: &Request<'_>) -> Result<Plan, EvalError> {
        if !(0.0..=100.0).contains(&request.depth) {
            return Err(EvalError::Setting(format!(
                "--depth {}: give 0 (the beginning) to 100 (the end) percent",
                request.depth
            )));
        }
        let samples = request.chunks.unwrap_or(SAMPLES);
        let windows = (0..samples).map(|sample| window(request, sample));
        Ok(Plan { windows: windows.collect::<Result<_, _>>()?, answers: true, ..Plan::default() })
    }
}

fn window(request: &Request<'_>, sample: usize) -> Result<Window, EvalError> {
    // A stream of its own for each sample: more samples leave the earlier ones as they were.
    let mut rng = ChaCha8Rng::seed_from_u64(request.seed);
    rng.set_stream(sample as u64);
    let key = rng.random_range(10_000..100_000u32);
    let piece = |text: &str| request.encoder.piece(text);
    let mut head = Vec::from_iter(request.encoder.bos());
    head.extend(piece(TASK)?);
    let needle = piece(&format!("\nThe pass key is {key}. Remember it. {key} is the pass key.\n"))?;
    let (question, answer) = (piece(QUESTION)?, piece(&format!(" {key}"))?);
    let fixed = head.len() + needle.len() + question.len() + answer.len();
    let Some(room) = request.ctx.checked_sub(fixed) else {
        return Err(EvalError::Setting(format!(
            "--ctx {}: task, needle and question alone are {fixed} tokens: give a longer context",
            request.ctx
        )));
    };
    let filler = piece(FILLER)?;
    let filler: Vec<u32> = filler.iter().copied().cycle().take(room).collect();
    let (before, after) = filler.split_at((room as f64 * request.depth / 100.0).round() as usize);
    let tokens = [&head, before, &needle, after, &question, &answer].concat();
    let answer_at = tokens.len() - answer.len();
    Ok(Window { scored: answer_at - 1..tokens.len() - 1, tokens, block: sample })
}

#[cfg(test)]
mod tests {
    use super::super::tests::request;
    use super::*;

    #[test]
    fn samples_have_the_length_and_the_needle_where_they_should() {
        let mut request = Request { ctx: 400, chunks: Some(3), ..request() };
        let [start, middle] = [0.0, 50.0].map(|depth| {
            request.depth = depth;
            Passkey.plan(&request).expect("samples")
        });
        for plan in [&start, &middle] {
            assert_eq!(plan.windows.len(), 3);
            for window in &plan.windows {
                assert_eq!(window.tokens.len(), 400);
                let answer = window.targets();
                let seen = &window.tokens[..window.scored.start];
                let times = seen.windows(answer.len()).filter(|w| *w == answer).count();
                assert_eq!(times, 2, "the needle says the key twice");
            }
        }
        let at = |plan: &Plan| {
            let window = &plan.windows[0];
            window.tokens.windows(window.scored.len()).position(|w| w == window.targets())
        };
        assert!(at(&middle) > at(&start).map(|i| i + 50));
        assert_eq!(
            at(&start),
            at(&Passkey.plan(&Request { depth: 0.0, ..request.clone() }).expect("again"))
        );
        request.ctx = 50;
        assert!(Passkey.plan(&request).expect_err("too short").to_string().contains("tokens"));
        request.depth = 101.0;
        assert!(Passkey.plan(&request).is_err());
    }
}
