//! The rule of llama.cpp's `llama-perplexity`.
//!
//! The text is tokenised once and cut into windows of `ctx` tokens; what is left over is dropped.
//! In each window the first token is replaced by the beginning-of-text token, where the model has
//! one, the cache is emptied, and the predictions at positions `ctx/2 … ctx-2` count: every scored
//! token is seen with at least half a window of context.
//!
//! Source: `tools/perplexity/perplexity.cpp` of llama.cpp.

use super::{Plan, Protocol, Request, Window, at_least, long_enough};
use crate::EvalError;

pub(super) struct LlamaCpp;

impl Protocol for LlamaCpp {
    fn name(&self) -> &'static str {
        "llama-cpp"
    }

    fn version(&self) -> u32 {
        1
    }

    fn summary(&self) -> &'static str {
        "windows of ctx, BOS first, the second half of each scored"
    }

    fn default_ctx(&self, longest: usize) -> usize {
        longest.min(512)
    }

    fn has_prompt(&self) -> bool {
        true
    }

    fn plan(&self, request: &Request<'_>) -> Result<Plan, EvalError> {
        let windows = windows(&request.encoder.text(request.text)?, request)?;
        Ok(Plan { windows, ..Plan::default() })
    }
}

fn windows(tokens: &[u32], request: &Request<'_>) -> Result<Vec<Window>, EvalError> {
    let ctx = request.ctx;
    at_least(ctx, 4)?;
    long_enough(tokens, ctx)?;
    let windows = tokens.chunks_exact(ctx).take(request.chunks.unwrap_or(usize::MAX));
    let windows = windows.enumerate().map(|(block, chunk)| {
        let mut tokens = chunk.to_vec();
        if let Some(bos) = request.encoder.bos() {
            tokens[0] = bos;
        }
        Window { tokens, scored: ctx / 2..ctx - 1, block }
    });
    Ok(windows.collect())
}

#[cfg(test)]
mod tests {
    use super::super::tests::request;
    use super::*;

    #[test]
    fn the_second_half_of_whole_windows_is_scored() {
        let tokens: Vec<u32> = (10..31).collect();
        let mut request = request();
        request.ctx = 8;
        let got = windows(&tokens, &request).expect("long enough");
        assert_eq!(got.len(), 2);
        let tokens_1 = vec![1, 19, 20, 21, 22, 23, 24, 25];
        assert_eq!(got[1], Window { tokens: tokens_1, scored: 4..7, block: 1 });
        assert_eq!(got[1].targets(), [23, 24, 25]);
        request.chunks = Some(1);
        assert_eq!(windows(&tokens, &request).expect("long enough").len(), 1);
        request.ctx = 22;
        assert!(windows(&tokens, &request).is_err());
        request.ctx = 1;
        assert!(windows(&tokens, &request).is_err());
    }
}
