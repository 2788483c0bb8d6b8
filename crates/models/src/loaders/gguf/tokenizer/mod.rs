//! The tokenizer that a GGUF carries, as one of the `tokenizers` library.
//!
//! Source: llama.cpp's `llama-vocab.cpp`, whose ids are the reference. Both of its kinds that
//! language models use become byte-pair encodings here: byte-level ones as they are, and
//! SentencePiece's with merges that follow from the scores.

mod bpe;
mod sentencepiece;
mod special;
mod vocabulary;

use tokenizers::processors::template::{SpecialToken, Template, TemplateProcessing, Tokens};

pub use self::special::SpecialTokens;
use self::vocabulary::Vocabulary;
use super::Metadata;
use crate::ModelError;
use crate::tokenizer::Tokenizer;

/// The key that names the kind of tokenizer.
const MODEL: &str = "tokenizer.ggml.model";

/// Builds the tokenizer of a file.
pub(super) fn build(metadata: &Metadata<'_>) -> Result<Tokenizer, ModelError> {
    let special = SpecialTokens::read(metadata)?;
    let vocabulary = Vocabulary::read(metadata)?;
    let mut inner = match metadata.text(MODEL)? {
        Some("gpt2") => bpe::build(metadata, &vocabulary)?,
        Some("llama") => sentencepiece::build(metadata, &vocabulary, &special)?,
        Some(other) => {
            return Err(metadata.error(
                MODEL,
                format!(
                    "is {other:?}, which is not supported (gpt2 and llama are): choose another \
                     model"
                ),
            ));
        }
        None => metadata.required(MODEL, None)?,
    };
    let failed = |e: tokenizers::Error| broken(metadata, &e);
    inner.add_tokens(special::added(metadata, &vocabulary)?).map_err(failed)?;
    inner.with_post_processor(Some(around(&special, &vocabulary).map_err(failed)?));
    Ok(Tokenizer::new(inner, special.bos.filter(|_| special.add_bos)))
}

/// What is put before and behind a text.
fn around(
    special: &SpecialTokens,
    vocabulary: &Vocabulary<'_>,
) -> Result<TemplateProcessing, tokenizers::Error> {
    let (mut pieces, mut tokens) = (vec!["$A"], Vec::new());
    // The template's own names: a token's text could contain what the template takes for syntax.
    let mut token = |name: &str, id: u32| {
        let text = vocabulary.tokens[id as usize].to_string();
        SpecialToken::new(name.to_owned(), vec![id], vec![text]).map(|token| tokens.push(token))
    };
    if let Some(bos) = special.bos.filter(|_| special.add_bos) {
        token("bos", bos)?;
        pieces.insert(0, "bos");
    }
    if let Some(eos) = special.eos.filter(|_| special.add_eos) {
        token("eos", eos)?;
        pieces.push("eos");
    }
    let template = Template::try_from(pieces)?;
    let tokens = Tokens::from(tokens);
    TemplateProcessing::builder()
        .single(template)
        .special_tokens(tokens)
        .build()
        .map_err(|e| e.to_string().into())
}

/// An error of the library about what the file holds.
fn broken(metadata: &Metadata<'_>, error: &tokenizers::Error) -> ModelError {
    metadata
        .error(MODEL, format!("names a tokenizer that can't be built ({error}): fetch it again"))
}
