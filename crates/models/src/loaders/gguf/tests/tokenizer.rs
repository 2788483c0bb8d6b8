//! Tokenizers of small vocabularies, where each rule can be seen.

use super::open;
use super::sample::{self, piece};
use super::writer::{Field, Writer};
use crate::Tokenizer;

fn pieces(change: impl Fn(&mut Writer)) -> Tokenizer {
    let mut writer = sample::model("llama", 272);
    sample::sentencepiece(&mut writer);
    change(&mut writer);
    open(writer.bytes()).and_then(|gguf| gguf.tokenizer()).expect("a sound tokenizer")
}

fn byte_level(pre: &str, change: impl Fn(&mut Writer)) -> Result<Tokenizer, String> {
    let mut writer = sample::model("llama", 16);
    sample::bpe(&mut writer, pre);
    change(&mut writer);
    open(writer.bytes()).and_then(|gguf| gguf.tokenizer()).map_err(|e| e.to_string())
}

fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    tokenizer.encode_piece(text).expect("a text")
}

/// The id of the byte token of [`sample::sentencepiece`].
fn byte(value: u8) -> u32 {
    3 + u32::from(value)
}

#[test]
fn better_scores_are_joined_first() {
    let tokenizer = pieces(|_| {});
    // "▁a" is the best of three pairs; then "▁ab" is better than "bc".
    assert_eq!(ids(&tokenizer, "abc"), [piece("▁ab"), piece("c")]);
    // "aaa" is better than "aa", but is only reached over it: from the left.
    assert_eq!(ids(&tokenizer, "caaa"), [piece("▁"), piece("c"), piece("aaa")]);
    assert_eq!(tokenizer.bos(), Some(1));
    assert_eq!(tokenizer.encode("a").expect("a text"), [1, piece("▁a")]);
}

#[test]
fn what_no_piece_has_becomes_bytes() {
    let tokenizer = pieces(|_| {});
    assert_eq!(
        ids(&tokenizer, "é€"),
        [&[piece("▁"), piece("é")], &[0xe2, 0x82, 0xac].map(byte)[..]].concat()
    );
    assert_eq!(tokenizer.decode(&ids(&tokenizer, "é€ ab")).expect("known tokens"), "é€ ab");
}

#[test]
fn a_space_comes_first_unless_the_file_says_otherwise() {
    let tokenizer = pieces(|writer| {
        writer.key("tokenizer.ggml.add_space_prefix", Field::Bool(false));
        writer.key("tokenizer.ggml.add_bos_token", Field::Bool(false));
        writer.key("tokenizer.ggml.add_eos_token", Field::Bool(true));
    });
    assert_eq!(ids(&tokenizer, "ab"), [piece("ab")]);
    assert_eq!(ids(&tokenizer, "ab ab"), [piece("ab"), piece("▁ab")]);
    assert_eq!(tokenizer.bos(), None);
    assert_eq!(tokenizer.encode("ab").expect("a text"), [piece("ab"), 2]);
}

#[test]
fn special_tokens_can_stay_text_and_user_defined_ones_cannot() {
    let mut tokenizer = pieces(|writer| {
        writer.key("tokenizer.ggml.add_space_prefix", Field::Bool(false));
    });
    assert_eq!(ids(&tokenizer, "a</s>b<tool>"), [piece("a"), 2, piece("b"), 271]);
    tokenizer.parse_special(false);
    let text = ids(&tokenizer, "a</s>b<tool>");
    assert_eq!(text[1..5], [b'<', b'/', b's', b'>'].map(byte));
    assert_eq!(text[5..], [piece("b"), 271]);
}

#[test]
fn merges_and_pre_tokenizers_decide_in_byte_level_encodings() {
    let id = |token: &str| {
        let at = sample::BPE_TOKENS.iter().position(|known| *known == token);
        at.expect("a token of the sample") as u32
    };
    let smollm = byte_level("smollm", |_| {}).expect("a sound tokenizer");
    // Digits one by one, so that "1 2" is never merged.
    assert_eq!(ids(&smollm, "abc ab123"), ["abc", "Ġab", "1", "2", "3"].map(id));
    assert_eq!(smollm.bos(), None);
    let llama = byte_level("llama-bpe", |_| {}).expect("a sound tokenizer");
    // Digits by threes; a whole word that is a token needs no merges; BOS unless the file differs.
    assert_eq!(ids(&llama, "abcabc 123"), ["abcabc", "Ġ", "123"].map(id));
    assert_eq!(ids(&smollm, "abcabc"), ["abc", "abc"].map(id));
    assert_eq!(llama.bos(), Some(0));
    assert_eq!(llama.decode(&ids(&llama, "ab 123")).expect("known tokens"), "ab 123");
    let plain = byte_level("default", |_| {}).expect("a sound tokenizer");
    assert_eq!(ids(&plain, "'123"), ["'", "123"].map(id));
}

#[test]
fn unknown_kinds_and_contradictions_are_named() {
    let error = |pre: &str, change: &dyn Fn(&mut Writer)| match byte_level(pre, change) {
        Ok(_) => panic!("a tokenizer that can't be right was accepted"),
        Err(error) => error,
    };
    assert!(
        error("klingon", &|_| {}).contains("is \"klingon\", and how it splits texts is unknown")
    );
    let model = |writer: &mut Writer| {
        writer.set("tokenizer.ggml.model", Some(Field::Text("bert".to_owned())));
    };
    assert!(error("smollm", &model).contains("is \"bert\", which is not supported"));
    let merge = |writer: &mut Writer| {
        writer.set("tokenizer.ggml.merges", Some(Field::texts(&["a b", "abcabc abcabc"])));
    };
    assert!(error("smollm", &merge).contains("to what is no token at 1"));
    let bos = |writer: &mut Writer| {
        writer.set("tokenizer.ggml.bos_token_id", Some(Field::U32(99)));
    };
    assert!(error("smollm", &bos).contains("is 99, but there are 16 tokens"));
    let kinds = |writer: &mut Writer| {
        writer.set("tokenizer.ggml.token_type", Some(Field::Array(5, vec![Field::I32(1)])));
    };
    assert!(error("smollm", &kinds).contains("has 1 values for 16 tokens"));
}

#[test]
fn the_file_tells_its_special_tokens_and_its_template() {
    let mut writer = sample::model("llama", 272);
    sample::sentencepiece(&mut writer);
    let gguf = open(writer.bytes()).expect("a sound model");
    let special = gguf.special_tokens().expect("sound metadata");
    assert_eq!((special.bos, special.eos, special.unknown), (Some(1), Some(2), Some(0)));
    assert_eq!((special.eot, special.add_bos, special.add_eos), (None, true, false));
    assert_eq!(gguf.chat_template().expect("a text"), Some("{{ messages }}"));
}
