//! Tokens with a role of their own, and tokens that are found in a text before it is split.

use tokenizers::AddedToken;

use super::MODEL;
use super::bpe::PreTokenizer;
use super::vocabulary::{Kind, TOKENS, Vocabulary};
use crate::ModelError;
use crate::loaders::gguf::Metadata;

/// The tokens that begin and end texts, and what the tokenizer adds to every text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Begins a text.
    pub bos: Option<u32>,
    /// Ends a text.
    pub eos: Option<u32>,
    /// Ends an answer in a chat, where that is another token.
    pub eot: Option<u32>,
    /// Stands for what no token has.
    pub unknown: Option<u32>,
    /// Whether `bos` is put before every text.
    pub add_bos: bool,
    /// Whether `eos` is put behind every text.
    pub add_eos: bool,
    /// Whether a space is put before every text (SentencePiece only).
    pub add_space_prefix: bool,
}

/// Texts of tokens that end an answer, for files that do not name theirs.
const ANSWER_ENDS: [&str; 4] = ["<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>"];

impl SpecialTokens {
    pub(in crate::loaders::gguf) fn read(metadata: &Metadata<'_>) -> Result<Self, ModelError> {
        let tokens = metadata.required(TOKENS, metadata.array(TOKENS)?)?;
        let id = |name: &str, default: Option<usize>| {
            let key = format!("tokenizer.ggml.{name}_token_id");
            let Some(id) = metadata.size(&key)?.or(default) else { return Ok(None) };
            match u32::try_from(id).ok().filter(|_| id < tokens.len()) {
                Some(id) => Ok(Some(id)),
                None => Err(metadata.error(
                    &key,
                    format!("is {id}, but there are {} tokens: fetch the file again", tokens.len()),
                )),
            }
        };
        let flag = |name: &str, default: bool| {
            Ok::<_, ModelError>(
                metadata.flag(&format!("tokenizer.ggml.{name}"))?.unwrap_or(default),
            )
        };
        // SentencePiece's ids, where a file does not say them.
        let sentence_piece = metadata.text(MODEL)? == Some("llama");
        let usual = |id: usize| sentence_piece.then_some(id).filter(|id| *id < tokens.len());
        let bos = id("bos", usual(1))?;
        let add_bos = sentence_piece || PreTokenizer::of(metadata)?.is_some_and(|pre| pre.add_bos);
        let eot = match id("eot", None)? {
            Some(eot) => Some(eot),
            None => {
                let mut texts = tokens.values().zip(0..);
                let ends = |text: Option<&str>| text.is_some_and(|t| ANSWER_ENDS.contains(&t));
                texts.find(|(value, _)| ends(value.text())).map(|(_, id)| id)
            }
        };
        Ok(Self {
            bos,
            eos: id("eos", usual(2))?,
            eot,
            unknown: id("unknown", usual(0))?,
            add_bos: flag("add_bos_token", add_bos)? && bos.is_some(),
            add_eos: flag("add_eos_token", false)?,
            add_space_prefix: flag("add_space_prefix", sentence_piece)?,
        })
    }
}

/// The tokens that are found before a text is split: control tokens, which
/// [`Tokenizer::parse_special`](crate::Tokenizer::parse_special) can switch off, and user-defined
/// ones, which always count.
pub(super) fn added(
    metadata: &Metadata<'_>,
    vocabulary: &Vocabulary<'_>,
) -> Result<Vec<AddedToken>, ModelError> {
    // A GGUF does not say which tokens swallow the spaces behind them; Phi-3's do, but for these.
    const PLAIN: [&str; 3] = ["<unk>", "<s>", "<|endoftext|>"];
    let name = metadata.text("general.name")?.unwrap_or_default().to_lowercase();
    let strip = name.contains("phi-3") || name.contains("phi3");
    let tokens = vocabulary.tokens.iter().zip(&vocabulary.kinds);
    let tokens = tokens.filter(|(_, kind)| **kind != Kind::Plain).map(|(text, kind)| {
        AddedToken::from(text.to_string(), *kind != Kind::UserDefined)
            .normalized(false)
            .rstrip(strip && !PLAIN.contains(&text.as_ref()))
    });
    Ok(tokens.collect())
}
