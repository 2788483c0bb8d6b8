//! SentencePiece's byte-pair encoding (`llama`): pieces with scores, and bytes for what has none.
//!
//! SentencePiece joins the two neighbours whose union has the best score, the leftmost of equals.
//! The library joins the pair of the lowest rank, so that every way of cutting a piece in two gets
//! its piece's place in the order of scores, as transformers converts such models too. The two
//! differ only where one piece could be joined from overlapping neighbours in two ways.

use std::cmp::Reverse;

use rayon::prelude::*;
use tokenizers::decoders::DecoderWrapper;
use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as Decoders;
use tokenizers::decoders::strip::Strip;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::normalizers::{NormalizerWrapper, Prepend, Replace, Sequence};
use tokenizers::{Result, Tokenizer};

use super::broken;
use super::special::SpecialTokens;
use super::vocabulary::{Kind, Vocabulary, same_length};
use crate::ModelError;
use crate::loaders::gguf::Metadata;

/// What stands for a space in pieces.
const SPACE: &str = "▁";

const SCORES: &str = "tokenizer.ggml.scores";

/// Builds the tokenizer, without special tokens.
pub(super) fn build(
    metadata: &Metadata<'_>,
    vocabulary: &Vocabulary<'_>,
    special: &SpecialTokens,
) -> std::result::Result<Tokenizer, ModelError> {
    let array = metadata.required(SCORES, metadata.array(SCORES)?)?;
    same_length(metadata, SCORES, array.len(), vocabulary.tokens.len())?;
    let scores: Option<Vec<f64>> = array.values().map(|value| value.number()).collect();
    let scores = scores.filter(|scores| scores.iter().all(|score| !score.is_nan()));
    let scores = scores.ok_or_else(|| {
        metadata.error(SCORES, "has a score that is no number: fetch the file again")
    })?;
    assemble(vocabulary, &scores, special).map_err(|e| broken(metadata, &e))
}

fn assemble(
    vocabulary: &Vocabulary<'_>,
    scores: &[f64],
    special: &SpecialTokens,
) -> Result<Tokenizer> {
    let ids = vocabulary.ids();
    let merges = merges(vocabulary, scores, &ids);
    let mut bpe = BPE::builder().vocab_and_merges(ids, merges).byte_fallback(true).fuse_unk(true);
    if let Some(unknown) = special.unknown {
        bpe = bpe.unk_token(vocabulary.tokens[unknown as usize].to_string());
    }
    let mut tokenizer = Tokenizer::new(bpe.build()?);
    let mut normalizers: Vec<NormalizerWrapper> = vec![Replace::new(" ", SPACE)?.into()];
    let mut decoders: Vec<DecoderWrapper> =
        vec![Replace::new(SPACE, " ")?.into(), ByteFallback::new().into(), Fuse::new().into()];
    if special.add_space_prefix {
        normalizers.insert(0, Prepend::new(SPACE.to_owned()).into());
        decoders.push(Strip::new(' ', 1, 0).into());
    }
    tokenizer.with_normalizer(Some(Sequence::new(normalizers)))?;
    tokenizer.with_decoder(Some(Decoders::new(decoders)));
    Ok(tokenizer)
}

/// Every cut of every piece in two pieces, best score first.
fn merges(vocabulary: &Vocabulary<'_>, scores: &[f64], ids: &Vocab) -> Merges {
    let mut order: Vec<usize> =
        (0..scores.len()).filter(|id| vocabulary.kinds[*id] == Kind::Plain).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let cuts = |id: usize| {
        let piece = vocabulary.tokens[id].as_ref();
        let cuts = piece.char_indices().skip(1).map(|(at, _)| piece.split_at(at));
        let cuts = cuts.filter(|(left, right)| ids.contains_key(*left) && ids.contains_key(*right));
        let mut cuts: Vec<(String, String)> =
            cuts.map(|(left, right)| (left.to_owned(), right.to_owned())).collect();
        cuts.sort_by_key(|(left, _)| Reverse(left.len()));
        cuts
    };
    order.into_par_iter().flat_map_iter(cuts).collect()
}
