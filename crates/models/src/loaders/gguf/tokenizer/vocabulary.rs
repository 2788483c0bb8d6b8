//! The tokens of a GGUF: text, kind and score of each id.

use std::borrow::Cow;

use tokenizers::models::bpe::Vocab;

use crate::ModelError;
use crate::loaders::gguf::Metadata;

/// What a token is for, by `tokenizer.ggml.token_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text, a byte, or unused.
    Plain,
    /// Stands for text that no token has.
    Unknown,
    /// Steers the model; never the result of plain text.
    Control,
    /// Text that is one token whatever the merges say.
    UserDefined,
}

/// Every token.
pub(super) struct Vocabulary<'a> {
    /// Text by id.
    pub(super) tokens: Vec<Cow<'a, str>>,
    /// Kind by id.
    pub(super) kinds: Vec<Kind>,
}

pub(super) const TOKENS: &str = "tokenizer.ggml.tokens";
const TYPES: &str = "tokenizer.ggml.token_type";

/// Texts that end a text or an answer: control tokens, whatever a file says of them. llama.cpp does
/// the same, for any model: Qwen's `</s>` is control and Gemma's too, though both are plain text.
const ENDS: [&str; 20] = [
    "</s>",
    "<eos>",
    "[EOS]",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|end|>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "<end_of_turn>",
    "<turn|>",
    "<end_of_utterance>",
    "<|return|>",
    "<|call|>",
    "<|calls|>",
    "<|flush|>",
    "<|tool_response>",
];

impl<'a> Vocabulary<'a> {
    pub(super) fn read(metadata: &Metadata<'a>) -> Result<Self, ModelError> {
        let array = metadata.required(TOKENS, metadata.array(TOKENS)?)?;
        let texts = array.values().enumerate().map(|(id, value)| {
            let text = value.text().ok_or_else(|| {
                metadata.error(TOKENS, format!("has {} for token {id}", value.kind()))
            })?;
            Ok(match text {
                "" => Cow::Owned(format!("[EMPTY_{id}]")),
                text => Cow::Borrowed(text),
            })
        });
        let tokens = texts.collect::<Result<Vec<_>, ModelError>>()?;
        if tokens.is_empty() || u32::try_from(tokens.len()).is_err() {
            return Err(metadata.error(
                TOKENS,
                format!("has {} tokens, expected 1 to 2³²: fetch the file again", tokens.len()),
            ));
        }
        let mut kinds = vec![Kind::Plain; tokens.len()];
        if let Some(types) = metadata.array(TYPES)? {
            same_length(metadata, TYPES, types.len(), tokens.len())?;
            for (kind, value) in kinds.iter_mut().zip(types.values()) {
                *kind = match value.size() {
                    Some(2) => Kind::Unknown,
                    Some(3) => Kind::Control,
                    Some(4) => Kind::UserDefined,
                    _ => Kind::Plain,
                };
            }
        }
        for (kind, token) in kinds.iter_mut().zip(&tokens) {
            if ENDS.contains(&token.as_ref()) {
                *kind = Kind::Control;
            }
        }
        Ok(Self { tokens, kinds })
    }

    /// Ids by text. Of two tokens with the same text the later counts, as in llama.cpp.
    pub(super) fn ids(&self) -> Vocab {
        let ids = self.tokens.iter().zip(0..);
        ids.map(|(token, id)| (token.to_string(), id)).collect()
    }
}

/// Says that an array does not have one value for each token.
pub(super) fn same_length(
    metadata: &Metadata<'_>,
    key: &str,
    len: usize,
    tokens: usize,
) -> Result<(), ModelError> {
    match len == tokens {
        true => Ok(()),
        false => Err(metadata
            .error(key, format!("has {len} values for {tokens} tokens: fetch the file again"))),
    }
}
