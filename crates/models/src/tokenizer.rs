//! Text to tokens, by the `tokenizers` library.

use crate::ModelError;

/// A model's tokenizer.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    bos: Option<u32>,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`; `file` is for messages.
    pub(crate) fn parse(json: &[u8], file: &str, vocab_size: usize) -> Result<Self, ModelError> {
        let inner = tokenizers::Tokenizer::from_bytes(json).map_err(|e| {
            ModelError::file(file, format!("is no valid tokenizer ({e}): fetch the file again"))
        })?;
        let largest = inner.get_vocab(true).into_values().max().unwrap_or(0);
        if largest as usize >= vocab_size {
            return Err(ModelError::file(
                file,
                format!(
                    "has token {largest}, but the embedding has {vocab_size} rows: it belongs to \
                     another model"
                ),
            ));
        }
        // A tokenizer that begins every text with a token says so for the empty one too.
        let empty = inner.encode("", true).map_err(|e| ModelError::file(file, e.to_string()))?;
        let bos = empty.get_ids().first().copied();
        Ok(Self::new(inner, bos))
    }

    /// A tokenizer that is complete; `bos` is the token that it puts before every text.
    pub(crate) fn new(inner: tokenizers::Tokenizer, bos: Option<u32>) -> Self {
        Self { inner, bos }
    }

    /// Whether names of special tokens in a text, such as `<|im_start|>`, become these tokens (as
    /// they do unless this says otherwise) or stay text.
    pub fn parse_special(&mut self, parse: bool) {
        self.inner.set_encode_special_tokens(!parse);
    }

    /// The token that the tokenizer puts before every text, if it does.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The tokens of a text, with what the tokenizer adds around it.
    ///
    /// # Errors
    /// When the tokenizer can't represent the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        self.tokens(text, true)
    }

    /// The tokens of a text, with nothing added.
    ///
    /// # Errors
    /// When the tokenizer can't represent the text.
    pub fn encode_piece(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        self.tokens(text, false)
    }

    fn tokens(&self, text: &str, special: bool) -> Result<Vec<u32>, ModelError> {
        let encoding = self.inner.encode_fast(text, special);
        let encoding = encoding.map_err(|e| ModelError::Input(format!("tokenizer: {e}")))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of tokens, special ones left out. Bytes that are no UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// When a token is unknown.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, ModelError> {
        let text = self.inner.decode(tokens, true);
        text.map_err(|e| ModelError::Input(format!("tokenizer: {e}")))
    }
}
