//! Protocols: which tokens a model sees, and which of its predictions count. One file each.

mod copy;
pub mod detokenise;
mod encoder;
mod gptq;
mod llama_cpp;
mod lm_eval;
mod passkey;
mod strided;

use std::ops::Range;

use crate::EvalError;

pub use self::encoder::Encoder;

/// A run of consecutive tokens that is evaluated from an empty cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The tokens that the model sees, and those that it has to predict.
    pub tokens: Vec<u32>,
    /// Positions whose prediction of the next token is scored; the last is below
    /// `tokens.len() - 1`.
    pub scored: Range<usize>,
    /// The block that this window belongs to, counted from 0: blocks are the unit of standard
    /// errors. Windows of one block follow each other.
    pub block: usize,
}

impl Window {
    /// The tokens that follow the scored positions.
    pub fn targets(&self) -> &[u32] {
        &self.tokens[self.scored.start + 1..self.scored.end + 1]
    }
}

/// How much text a block is, for metrics per word and per byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextSize {
    /// Words, as the protocol counts them.
    pub words: usize,
    /// Bytes of UTF-8.
    pub bytes: usize,
}

/// What a protocol makes of a text.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The windows, in order.
    pub windows: Vec<Window>,
    /// The size of each block's text, where the protocol reports by word and byte.
    pub sizes: Option<Vec<TextSize>>,
    /// Whether the scored tokens are the one right answer, so that hits are counted.
    pub answers: bool,
    /// What a reader of the numbers should know.
    pub warnings: Vec<String>,
}

impl Plan {
    /// Number of blocks.
    pub fn blocks(&self) -> usize {
        self.windows.last().map_or(0, |window| window.block + 1)
    }

    /// Number of scored predictions.
    pub fn scored(&self) -> usize {
        self.windows.iter().map(|window| window.scored.len()).sum()
    }
}

/// What a protocol is asked for.
#[derive(Clone)]
pub struct Request<'a> {
    /// Text to tokens.
    pub encoder: Encoder<'a>,
    /// The text; synthetic protocols make their own.
    pub text: &'a str,
    /// Tokens in a window.
    pub ctx: usize,
    /// Tokens from one window to the next, where the protocol has a choice.
    pub stride: usize,
    /// At most this many windows (documents, samples).
    pub chunks: Option<usize>,
    /// Where the answer hides, in percent of the text before it, where something hides.
    pub depth: f64,
    /// Seed of synthetic texts.
    pub seed: u64,
}

/// A rule by which a text is evaluated.
pub trait Protocol: Sync {
    /// The name in records and flags.
    fn name(&self) -> &'static str;

    /// Raised whenever a change of the rule changes numbers.
    fn version(&self) -> u32;

    /// The rule in a line.
    fn summary(&self) -> &'static str;

    /// The usual window, for a model that was made for `longest` tokens.
    fn default_ctx(&self, longest: usize) -> usize;

    /// Whether every window but possibly the first begins with tokens that are not scored: the
    /// prompt of mode `post-prefill`.
    fn has_prompt(&self) -> bool;

    /// Whether the protocol makes its own text from a seed.
    fn synthetic(&self) -> bool {
        false
    }

    /// Whether [`Request::stride`] matters.
    fn strides(&self) -> bool {
        false
    }

    /// Whether [`Request::depth`] matters.
    fn hides(&self) -> bool {
        false
    }

    /// Cuts or makes the windows.
    ///
    /// # Errors
    /// When the settings leave nothing to score, or the text is too short.
    fn plan(&self, request: &Request<'_>) -> Result<Plan, EvalError>;
}

/// Every protocol; the first is the default.
pub const ALL: [&dyn Protocol; 6] = [
    &llama_cpp::LlamaCpp,
    &gptq::Gptq,
    &strided::Strided,
    &lm_eval::LmEval,
    &passkey::Passkey,
    &copy::Copy,
];

/// The protocol of that name.
///
/// # Errors
/// When there is none; the error lists what there is.
pub fn by_name(name: &str) -> Result<&'static dyn Protocol, EvalError> {
    let found = ALL.into_iter().find(|p| p.name() == name);
    found.ok_or_else(|| EvalError::unknown("protocol", name, ALL.iter().map(|p| p.name())))
}

/// Refuses windows of fewer than `least` tokens.
fn at_least(ctx: usize, least: usize) -> Result<(), EvalError> {
    if ctx >= least {
        return Ok(());
    }
    Err(EvalError::Setting(format!(
        "--ctx {ctx} leaves nothing to score: give at least {least} tokens (512 is usual)"
    )))
}

/// Refuses texts of fewer than `least` tokens.
fn long_enough(tokens: &[u32], least: usize) -> Result<(), EvalError> {
    if tokens.len() >= least {
        return Ok(());
    }
    Err(EvalError::Dataset(format!(
        "the text has {} tokens, less than one window of {least}: give a longer text or a smaller \
        --ctx",
        tokens.len()
    )))
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use burn::tensor::Device;
    use kvr_models::{Hub, Model, ModelSource};

    use super::*;

    static MINI: LazyLock<Model> = LazyLock::new(|| {
        ModelSource::Mini
            .load(&Hub::from_env(), &kvr_kernels::Context::new(&Device::flex()))
            .expect("part of the program")
    });

    /// A request for protocols to change.
    pub(super) fn request() -> Request<'static> {
        Request {
            encoder: Encoder::new(&MINI).expect("mini has a tokenizer"),
            text: "",
            ctx: 128,
            stride: 64,
            chunks: None,
            depth: 50.0,
            seed: 0,
        }
    }

    #[test]
    fn names_are_found_or_explained() {
        assert_eq!(by_name("gptq").expect("a protocol").name(), "gptq");
        let error = by_name("lm_eval").err().expect("spelled otherwise").to_string();
        assert!(error.contains("nearest: lm-eval"), "{error}");
    }
}
