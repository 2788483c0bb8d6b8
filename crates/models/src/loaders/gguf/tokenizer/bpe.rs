//! Byte-level byte-pair encoding (`gpt2`): how a text is split before bytes are merged.
//!
//! A GGUF has merges and a name for the pre-tokenizer; the expressions behind the name are known to
//! the program that reads it. They are those of the models' own `tokenizer.json`.

use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{SplitDelimiterBehavior, Tokenizer};

use super::broken;
use super::vocabulary::Vocabulary;
use crate::ModelError;
use crate::loaders::gguf::Metadata;
use crate::loaders::gguf::cursor::quoted;

/// Alternatives of one expression, the first that matches counts.
type Words = &'static [&'static str];

/// The end of a contraction, in any case.
const CONTRACTION: &str = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
/// Letters with one sign before them.
const LETTERS: &str = r"[^\r\n\p{L}\p{N}]?\p{L}+";
/// Signs with the space before and the ends of lines behind them.
const SIGNS: &str = r" ?[^\s\p{L}\p{N}]+[\r\n]*";
const LINES: &str = r"\s*[\r\n]+";
/// Spaces, but for the last before a word, which belongs to the word.
const SPACES: &str = r"\s+(?!\S)|\s+";

/// Letters, digits or signs, each with the space before them.
const GPT2: Words =
    &["'s|'t|'re|'ve|'m|'ll|'d", r" ?\p{L}+", r" ?\p{N}+", r" ?[^\s\p{L}\p{N}]+", SPACES];

/// Digits by threes.
const LLAMA3: Words = &[CONTRACTION, LETTERS, r"\p{N}{1,3}", SIGNS, LINES, SPACES];

/// Digits one by one.
const QWEN2: Words = &[CONTRACTION, LETTERS, r"\p{N}", SIGNS, LINES, SPACES];

/// Words that end where lower case meets upper case (Mistral since Nemo).
const TEKKEN: Words = &[
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"\p{N}",
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
    LINES,
    SPACES,
];

/// The same with contractions, and digits by threes (Phi-4-mini).
const GPT_4O: Words = &[
    concat!(
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    ),
    concat!(
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    ),
    r"\p{N}{1,3}",
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
    LINES,
    SPACES,
];

/// How texts are split, and what goes with it.
#[derive(Debug)]
pub(super) struct PreTokenizer {
    /// Values of `tokenizer.ggml.pre`.
    names: &'static [&'static str],
    /// Expressions, each splitting what the ones before it left.
    splits: &'static [Words],
    /// Whether a word that is a token is taken as it is, without merges.
    whole_words: bool,
    /// Whether a text begins with BOS where the file does not say.
    pub(super) add_bos: bool,
}

const PRE_TOKENIZERS: [PreTokenizer; 8] = [
    PreTokenizer {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3"],
        splits: &[LLAMA3],
        whole_words: true,
        add_bos: true,
    },
    plain(&["dbrx", "smaug-bpe"], &[LLAMA3]),
    plain(&["qwen2", "deepseek-r1-qwen", "megrez", "stablelm2"], &[QWEN2]),
    plain(&["smollm", "starcoder", "refact", "command-r"], &[&[r"\p{N}"], GPT2]),
    plain(&["gpt-2", "phi-2", "olmo", "mpt", "jais"], &[GPT2]),
    PreTokenizer { names: &["tekken"], splits: &[TEKKEN], whole_words: true, add_bos: true },
    plain(&["gpt-4o"], &[GPT_4O]),
    plain(&[UNNAMED], &[&[r"[\p{P}\$\+<=>\^~\|]+"], GPT2, &[r"\p{N}+"], &["[0-9][0-9][0-9]"]]),
];

/// What holds for files that name none.
const UNNAMED: &str = "default";

const fn plain(names: &'static [&'static str], splits: &'static [Words]) -> PreTokenizer {
    PreTokenizer { names, splits, whole_words: false, add_bos: false }
}

const KEY: &str = "tokenizer.ggml.pre";

impl PreTokenizer {
    /// The one that a file names; none if that is unknown.
    pub(super) fn of(metadata: &Metadata<'_>) -> Result<Option<&'static Self>, ModelError> {
        let name = metadata.text(KEY)?.unwrap_or(UNNAMED);
        Ok(PRE_TOKENIZERS.iter().find(|known| known.names.contains(&name)))
    }

    fn wrapper(&self) -> tokenizers::Result<PreTokenizerWrapper> {
        let mut steps: Vec<PreTokenizerWrapper> = Vec::new();
        for split in self.splits {
            let pattern = SplitPattern::Regex(split.join("|"));
            steps.push(Split::new(pattern, SplitDelimiterBehavior::Isolated, false)?.into());
        }
        steps.push(ByteLevel::new(false, false, false).into());
        Ok(Sequence::new(steps).into())
    }
}

/// Builds the tokenizer, without special tokens.
pub(super) fn build(
    metadata: &Metadata<'_>,
    vocabulary: &Vocabulary<'_>,
) -> Result<Tokenizer, ModelError> {
    let pre = PreTokenizer::of(metadata)?.ok_or_else(|| {
        let known: Vec<&str> = PRE_TOKENIZERS.iter().flat_map(|pre| pre.names).copied().collect();
        metadata.error(
            KEY,
            format!(
                "is {:?}, and how it splits texts is unknown ({} are known): choose another model",
                metadata.text(KEY).ok().flatten().unwrap_or_default(),
                known.join(", ")
            ),
        )
    })?;
    let ids = vocabulary.ids();
    let merges = merges(metadata, &ids)?;
    let failed = |e: tokenizers::Error| broken(metadata, &e);
    let bpe = BPE::builder()
        .vocab_and_merges(ids, merges)
        .ignore_merges(pre.whole_words)
        .build()
        .map_err(failed)?;
    let mut tokenizer = Tokenizer::new(bpe);
    tokenizer.with_pre_tokenizer(Some(pre.wrapper().map_err(failed)?));
    tokenizer.with_decoder(Some(ByteLevel::new(false, false, false)));
    Ok(tokenizer)
}

/// The pairs of tokens that are joined, first ones first.
fn merges(metadata: &Metadata<'_>, ids: &Vocab) -> Result<Merges, ModelError> {
    const KEY: &str = "tokenizer.ggml.merges";
    let array = metadata.required(KEY, metadata.array(KEY)?)?;
    let merges = array.values().enumerate().map(|(rank, merge)| {
        let error = |problem: String| {
            metadata.error(KEY, format!("{problem} at {rank}: fetch the file again"))
        };
        // The first character may be a space itself.
        let pair = merge.text().and_then(|text| {
            let second = text.char_indices().nth(1)?.0;
            let space = second + text[second..].find(' ')?;
            Some((&text[..space], &text[space + 1..]))
        });
        let (left, right) = pair.ok_or_else(|| error("has no two tokens".to_owned()))?;
        // The library relies on it that the union is a token.
        if !ids.contains_key(&format!("{left}{right}")) {
            return Err(error(format!(
                "joins {} and {} to what is no token",
                quoted(left),
                quoted(right)
            )));
        }
        Ok((left.to_owned(), right.to_owned()))
    });
    merges.collect()
}
