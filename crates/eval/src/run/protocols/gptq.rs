//! The rule of the GPTQ paper's code, which most quantisation papers follow.
//!
//! The lines of the text, which Hugging Face's WikiText-2 keeps as its rows, are joined with blank
//! lines and tokenised once, with BOS at the very beginning only. The tokens are cut into windows
//! of `ctx` (2048); what is left over is dropped. Every token of a window but its first is scored.
//!
//! Source: `datautils.py` and `opt_eval` of GPTQ (Frantar et al. 2022). Deviation: its loss is the
//! mean over 2047 predictions counted as 2048; the perplexity is the same.

use super::{Plan, Protocol, Request, Window, at_least, long_enough};
use crate::EvalError;

pub(super) struct Gptq;

impl Protocol for Gptq {
    fn name(&self) -> &'static str {
        "gptq"
    }

    fn version(&self) -> u32 {
        1
    }

    fn summary(&self) -> &'static str {
        "rows joined by blank lines, windows of ctx without BOS, every token scored"
    }

    fn default_ctx(&self, longest: usize) -> usize {
        longest.min(2048)
    }

    fn has_prompt(&self) -> bool {
        false
    }

    fn plan(&self, request: &Request<'_>) -> Result<Plan, EvalError> {
        let tokens = request.encoder.text(&joined(request.text))?;
        let windows = windows(&tokens, request.ctx, request.chunks)?;
        Ok(Plan { windows, ..Plan::default() })
    }
}

/// The rows that Hugging Face's loader makes of the file, joined as GPTQ joins them: a line keeps
/// its line break, an empty one becomes an empty row.
fn joined(text: &str) -> String {
    let rows = text.split_inclusive('\n').map(|row| if row.trim().is_empty() { "" } else { row });
    rows.collect::<Vec<_>>().join("\n\n")
}

fn windows(tokens: &[u32], ctx: usize, chunks: Option<usize>) -> Result<Vec<Window>, EvalError> {
    at_least(ctx, 2)?;
    long_enough(tokens, ctx)?;
    let windows = tokens.chunks_exact(ctx).take(chunks.unwrap_or(usize::MAX)).enumerate();
    let window =
        |(block, chunk): (_, &[u32])| Window { tokens: chunk.to_vec(), scored: 0..ctx - 1, block };
    Ok(windows.map(window).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_joined_by_blank_lines() {
        assert_eq!(joined(" \n = A = \n \n text \n"), "\n\n = A = \n\n\n\n\n text \n");
    }

    #[test]
    fn every_token_but_the_first_of_a_window_is_scored() {
        let got = windows(&[5, 6, 7, 8, 9, 10, 11], 3, None).expect("long enough");
        assert_eq!(got.len(), 2);
        assert_eq!(got[1], Window { tokens: vec![8, 9, 10], scored: 0..2, block: 1 });
    }
}
