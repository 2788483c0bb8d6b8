//! Text to tokens, for protocols.

use kvr_models::Model;

use crate::EvalError;

/// The tokenizer of a model; bytes stand for tokens where the weights are random, so that speed
/// and memory can be measured without one.
#[derive(Clone, Copy)]
pub struct Encoder<'a> {
    model: &'a Model,
}

impl<'a> Encoder<'a> {
    /// The encoder of a model.
    ///
    /// # Errors
    /// When a trained model has no tokenizer.
    pub fn new(model: &'a Model) -> Result<Self, EvalError> {
        if model.tokenizer.is_none() && model.sha256.is_some() {
            return Err(EvalError::Setting(format!(
                "{}: has no tokenizer.json: put the model's tokenizer next to its weights",
                model.name
            )));
        }
        Ok(Self { model })
    }

    /// Tokens with what the tokenizer puts around a text, such as BOS.
    ///
    /// # Errors
    /// When the tokenizer can't represent the text.
    pub fn text(&self, text: &str) -> Result<Vec<u32>, EvalError> {
        match &self.model.tokenizer {
            Some(tokenizer) => Ok(tokenizer.encode(text)?),
            None => Ok(self.bytes(text)),
        }
    }

    /// Tokens of the text alone.
    ///
    /// # Errors
    /// When the tokenizer can't represent the text.
    pub fn piece(&self, text: &str) -> Result<Vec<u32>, EvalError> {
        match &self.model.tokenizer {
            Some(tokenizer) => Ok(tokenizer.encode_piece(text)?),
            None => Ok(self.bytes(text)),
        }
    }

    /// The token that texts begin with, if the model has one.
    pub fn bos(&self) -> Option<u32> {
        self.model.bos()
    }

    /// The token that stands before a text that is scored from its first token on.
    ///
    /// # Errors
    /// When the model has neither a first nor a last token.
    pub fn prefix(&self) -> Result<u32, EvalError> {
        self.model.bos().or(self.model.eos().first().copied()).ok_or_else(|| {
            EvalError::Setting(format!(
                "{}: names neither bos_token_id nor eos_token_id, and the protocol needs one \
                before the text: add it to config.json",
                self.model.name
            ))
        })
    }

    /// Tokens in the vocabulary.
    pub fn vocabulary(&self) -> usize {
        self.model.decoder.spec().vocab_size
    }

    fn bytes(&self, text: &str) -> Vec<u32> {
        text.bytes().map(|b| u32::from(b) % self.vocabulary() as u32).collect()
    }
}
