//! The sliding window of Hugging Face's documentation, "Perplexity of fixed-length models".
//!
//! The text is tokenised once, as the tokenizer does by itself. A window of at most `ctx` tokens
//! moves `stride` tokens at a time; of each window only the tokens that no window before it has
//! scored count, so each token but the first is scored once, with at least `ctx - stride` tokens of
//! context where the text has them.
//!
//! Deviation: theirs averages the windows' mean losses weighted by the number of scored tokens plus
//! one in the first window; here every scored token weighs the same.

use super::{Plan, Protocol, Request, Window, at_least, long_enough};
use crate::EvalError;

pub(super) struct Strided;

impl Protocol for Strided {
    fn name(&self) -> &'static str {
        "strided"
    }

    fn version(&self) -> u32 {
        1
    }

    fn summary(&self) -> &'static str {
        "a window of ctx that moves by stride, each token scored once"
    }

    fn default_ctx(&self, longest: usize) -> usize {
        longest
    }

    fn has_prompt(&self) -> bool {
        true
    }

    fn strides(&self) -> bool {
        true
    }

    fn plan(&self, request: &Request<'_>) -> Result<Plan, EvalError> {
        let tokens = request.encoder.text(request.text)?;
        let windows = windows(&tokens, request.ctx, request.stride, request.chunks)?;
        Ok(Plan { windows, ..Plan::default() })
    }
}

fn windows(
    tokens: &[u32],
    ctx: usize,
    stride: usize,
    chunks: Option<usize>,
) -> Result<Vec<Window>, EvalError> {
    at_least(ctx, 2)?;
    long_enough(tokens, 2)?;
    if !(1..=ctx).contains(&stride) {
        return Err(EvalError::Setting(format!(
            "--stride {stride}: give 1 to --ctx {ctx}, or tokens are skipped"
        )));
    }
    let mut windows = Vec::new();
    let mut scored_to = 1;
    for start in (0..tokens.len()).step_by(stride).take(chunks.unwrap_or(usize::MAX)) {
        let end = tokens.len().min(start + ctx);
        // A window's first token has nothing before it that could predict it.
        let scored = scored_to.max(start + 1) - start - 1..end - start - 1;
        if !scored.is_empty() {
            windows.push(Window {
                tokens: tokens[start..end].to_vec(),
                scored,
                block: windows.len(),
            });
        }
        scored_to = end;
        if end == tokens.len() {
            break;
        }
    }
    Ok(windows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_but_the_first_is_scored_once_with_enough_context() {
        let tokens: Vec<u32> = (0..23).collect();
        for (ctx, stride) in [(8, 3), (8, 8), (8, 1), (30, 5), (23, 4), (2, 1)] {
            let got = windows(&tokens, ctx, stride, None).expect("windows");
            let targets: Vec<u32> = got.iter().flat_map(|w| w.targets().to_vec()).collect();
            let missing = if stride == ctx { tokens.len().div_ceil(ctx) } else { 1 };
            if stride == ctx {
                assert_eq!(targets.len(), tokens.len() - missing);
            } else {
                assert_eq!(targets, tokens[1..], "ctx {ctx} stride {stride}");
            }
            for window in &got[1..] {
                assert!(window.scored.start + 1 >= ctx - stride);
            }
        }
        assert!(windows(&tokens, 8, 9, None).is_err());
        assert!(windows(&tokens, 8, 0, None).is_err());
    }
}
