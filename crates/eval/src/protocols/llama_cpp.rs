//! The rule of llama.cpp's `llama-perplexity`.
//!
//! The text is tokenised once and cut into windows of `ctx` tokens; what is left over is dropped.
//! In each window the first token is replaced by the beginning-of-text token, where the model has
//! one, the cache is emptied, and the predictions at positions `ctx/2 … ctx-2` count: every scored
//! token is seen with at least half a window of context.
//!
//! Source: `tools/perplexity/perplexity.cpp` of llama.cpp.

use super::{ProtocolName, Window};
use crate::EvalError;

/// Name and version for records.
pub const NAME: ProtocolName = ProtocolName { name: "llama-cpp", version: 1 };

/// The default window, in tokens.
pub const DEFAULT_CTX: usize = 512;

/// Cuts `tokens` into at most `chunks` windows of `ctx`.
///
/// # Errors
/// When `ctx` is below 4, which leaves nothing to score, or the text is shorter than one window.
pub fn windows(
    tokens: &[u32],
    ctx: usize,
    chunks: Option<usize>,
    bos: Option<u32>,
) -> Result<Vec<Window>, EvalError> {
    if ctx < 4 {
        return Err(EvalError::Setting(format!(
            "--ctx {ctx} leaves nothing to score: give at least 4 tokens (512 is usual)"
        )));
    }
    if tokens.len() < ctx {
        return Err(EvalError::Dataset(format!(
            "the text has {} tokens, less than one window of {ctx}: give a longer text or a smaller --ctx",
            tokens.len()
        )));
    }
    let windows = tokens.chunks_exact(ctx).take(chunks.unwrap_or(usize::MAX)).map(|chunk| {
        let mut tokens = chunk.to_vec();
        if let Some(bos) = bos {
            tokens[0] = bos;
        }
        Window { tokens, scored: ctx / 2..ctx - 1 }
    });
    Ok(windows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_half_of_whole_windows_is_scored() {
        let tokens: Vec<u32> = (10..31).collect();
        let got = windows(&tokens, 8, None, Some(1)).expect("long enough");
        assert_eq!(got.len(), 2);
        assert_eq!(got[1], Window { tokens: vec![1, 19, 20, 21, 22, 23, 24, 25], scored: 4..7 });
        assert_eq!(windows(&tokens, 8, Some(1), None).expect("long enough")[0].tokens[0], 10);
        assert!(windows(&tokens, 22, None, None).is_err());
        assert!(windows(&tokens, 1, None, None).is_err());
    }
}
