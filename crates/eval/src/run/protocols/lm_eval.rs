//! The rule of lm-evaluation-harness's task `wikitext`, version 2.0.
//!
//! The text is cut into its articles. Each is detokenised, tokenised without special tokens, and
//! scored whole, from its first token on, with the model's BOS (EOS where it has none) before it:
//! windows of `ctx` tokens follow each other, and the last one reaches back for context. Losses are
//! set against the words and bytes of the article before it was detokenised: word_perplexity,
//! byte_perplexity, bits_per_byte. The unit of standard errors is the article.
//!
//! Source: `tasks/wikitext`, `get_rolling_token_windows` and `HFLM` of lm_eval 0.4.13, and the
//! loader of `EleutherAI/wikitext_document_level`. Deviation: the harness reports no error for
//! these metrics unless asked to bootstrap; ours is the ratio estimator's over articles.

use super::detokenise::wikitext;
use super::{Plan, Protocol, Request, TextSize, Window, at_least, long_enough};
use crate::EvalError;

pub(super) struct LmEval;

impl Protocol for LmEval {
    fn name(&self) -> &'static str {
        "lm-eval"
    }

    fn version(&self) -> u32 {
        1
    }

    fn summary(&self) -> &'static str {
        "whole articles, detokenised; perplexity by word and byte"
    }

    fn default_ctx(&self, longest: usize) -> usize {
        longest
    }

    fn has_prompt(&self) -> bool {
        false
    }

    fn plan(&self, request: &Request<'_>) -> Result<Plan, EvalError> {
        at_least(request.ctx, 2)?;
        let prefix = request.encoder.prefix()?;
        let pages = pages(request.text);
        let mut plan = Plan::default();
        let mut sizes = Vec::new();
        for page in pages.iter().take(request.chunks.unwrap_or(usize::MAX)) {
            let tokens = request.encoder.piece(&wikitext(page))?;
            if tokens.is_empty() {
                continue;
            }
            plan.windows.extend(windows(&tokens, prefix, request.ctx, sizes.len()));
            sizes.push(size(page));
        }
        if sizes.is_empty() {
            long_enough(&[], 1)?;
        }
        if sizes.len() == 1 {
            let note = "the text has no headings such as ' = Title = ': it counts as one article";
            plan.warnings.push(note.to_owned());
        }
        plan.sizes = Some(sizes);
        Ok(plan)
    }
}

/// The articles of a WikiText file: each begins with a heading of the first level.
fn pages(text: &str) -> Vec<String> {
    let mut pages = Vec::new();
    let mut page: Vec<&str> = Vec::new();
    for line in text.split('\n') {
        let level = line.replace("= = =", "===").replace("= =", "==");
        let level = level.trim();
        if level.starts_with("= ") && level.ends_with(" =") {
            pages.push(std::mem::take(&mut page).join("\n"));
        }
        page.push(line);
    }
    pages.push(page.join("\n"));
    pages.retain(|page| !page.trim().is_empty());
    pages
}

/// Words as `re.split(r"\s+", page)` counts them: empty ones at both ends included.
fn size(page: &str) -> TextSize {
    let ends = [page.chars().next(), page.chars().next_back()];
    let empty = ends.iter().flatten().filter(|c| c.is_whitespace()).count();
    TextSize { words: page.split_whitespace().count() + empty, bytes: page.len() }
}

/// Windows that predict every token of `tokens`, the first from `prefix`.
fn windows(tokens: &[u32], prefix: u32, ctx: usize, block: usize) -> Vec<Window> {
    let with_prefix: Vec<u32> = [&[prefix], tokens].concat();
    let mut windows = Vec::new();
    let mut predicted = 0;
    while predicted < tokens.len() {
        // The window's inputs end before `end` (an index into `with_prefix`), its targets with it.
        let end = tokens.len().min(predicted + ctx);
        let start = if predicted == 0 { 0 } else { end - ctx };
        windows.push(Window {
            tokens: with_prefix[start..=end].to_vec(),
            scored: predicted - start..end - start,
            block,
        });
        predicted = end;
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Windows that the harness's `get_rolling_token_windows(tokens, 9, 4, 1)` gives.
    #[test]
    fn windows_equal_the_harness() {
        let tokens: Vec<u32> = (10..20).collect();
        let got = windows(&tokens, 9, 4, 0);
        let want = [
            (vec![9, 10, 11, 12], vec![10, 11, 12, 13]),
            (vec![13, 14, 15, 16], vec![14, 15, 16, 17]),
            (vec![15, 16, 17, 18], vec![18, 19]),
        ];
        assert_eq!(got.len(), want.len());
        for (window, (inputs, targets)) in got.iter().zip(&want) {
            assert_eq!(window.tokens[..window.tokens.len() - 1], inputs[..]);
            assert_eq!(window.targets(), targets);
        }
    }

    #[test]
    fn a_short_text_is_one_window() {
        let got = windows(&[10, 11], 9, 4, 3);
        assert_eq!(got, [Window { tokens: vec![9, 10, 11], scored: 0..2, block: 3 }]);
    }

    #[test]
    fn articles_begin_with_headings_of_the_first_level() {
        let text = " \n = One = \n \n text \n = = Part = = \n more \n = Two = \n \n end \n";
        let got = pages(text);
        assert_eq!(got, [" = One = \n \n text \n = = Part = = \n more ", " = Two = \n \n end \n"]);
        // "", "=", "One", "=", "text", "=", "=", "Part", "=", "=", "more", ""
        assert_eq!(size(&got[0]), TextSize { words: 12, bytes: got[0].len() });
    }
}
