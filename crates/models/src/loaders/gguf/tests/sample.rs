//! Small complete models of each architecture.

use super::writer::{Field, Writer};

pub(super) const LAYERS: usize = 2;
pub(super) const HIDDEN: u64 = 64;
pub(super) const HEADS: u64 = 4;
pub(super) const KV_HEADS: u64 = 2;
pub(super) const HEAD: u64 = 32;
const INNER: u64 = 96;

/// ggml's number of the type.
pub(super) const Q8_0: u32 = 8;

/// The pieces of [`sentencepiece`] behind the bytes, best score first.
const PIECES: [&str; 12] = ["▁a", "ab", "▁ab", "bc", "abc", "a", "b", "c", "▁", "é", "aaa", "aa"];

/// A model's keys and tensors, without a tokenizer. Values of tensors are zeros.
pub(super) fn model(architecture: &str, vocabulary: u64) -> Writer {
    let mut writer = Writer::new();
    writer.key("general.architecture", Field::Text(architecture.to_owned()));
    let sizes = [
        ("block_count", LAYERS as u64),
        ("context_length", 256),
        ("embedding_length", HIDDEN),
        ("feed_forward_length", INNER),
        ("attention.head_count", HEADS),
        ("attention.head_count_kv", KV_HEADS),
        ("attention.key_length", HEAD),
        ("attention.value_length", HEAD),
    ];
    for (key, size) in sizes {
        writer.key(&format!("{architecture}.{key}"), Field::U32(size as u32));
    }
    let eps = format!("{architecture}.attention.layer_norm_rms_epsilon");
    writer.key(&eps, Field::F32(1e-6));
    matrix(&mut writer, "token_embd.weight", HIDDEN, vocabulary);
    writer.floats("output_norm.weight", &[HIDDEN], &[0.0; HIDDEN as usize]);
    for layer in 0..LAYERS {
        let name = |stem: &str| format!("blk.{layer}.{stem}.weight");
        for stem in ["attn_norm", "ffn_norm"] {
            writer.floats(&name(stem), &[HIDDEN], &[0.0; HIDDEN as usize]);
        }
        for (stem, input, output) in [
            ("attn_q", HIDDEN, HEADS * HEAD),
            ("attn_k", HIDDEN, KV_HEADS * HEAD),
            ("attn_v", HIDDEN, KV_HEADS * HEAD),
            ("attn_output", HEADS * HEAD, HIDDEN),
            ("ffn_gate", HIDDEN, INNER),
            ("ffn_up", HIDDEN, INNER),
            ("ffn_down", INNER, HIDDEN),
        ] {
            matrix(&mut writer, &name(stem), input, output);
        }
    }
    writer
}

fn matrix(writer: &mut Writer, name: &str, input: u64, output: u64) {
    let bytes = vec![0; (input / 32 * output * 34) as usize];
    writer.tensor(name, &[input, output], Q8_0, bytes);
}

/// Adds a SentencePiece tokenizer: `<unk>`, `<s>`, `</s>`, 256 bytes, pieces, one token that is
/// user-defined. Returns the number of tokens.
pub(super) fn sentencepiece(writer: &mut Writer) -> u64 {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(str::to_owned).to_vec();
    tokens.extend((0..256).map(|byte| format!("<0x{byte:02X}>")));
    tokens.extend(PIECES.map(str::to_owned));
    tokens.push("<tool>".to_owned());
    let mut kinds = vec![2, 3, 3];
    kinds.extend([6; 256]);
    kinds.extend([1; PIECES.len()]);
    kinds.push(4);
    let scores = (0..tokens.len()).map(|id| Field::F32(-(id as f32)));
    let texts: Vec<&str> = tokens.iter().map(String::as_str).collect();
    writer.key("tokenizer.ggml.model", Field::Text("llama".to_owned()));
    writer.key("tokenizer.ggml.tokens", Field::texts(&texts));
    writer.key("tokenizer.ggml.scores", Field::Array(6, scores.collect()));
    let kinds = kinds.into_iter().map(Field::I32).collect();
    writer.key("tokenizer.ggml.token_type", Field::Array(5, kinds));
    writer.key("tokenizer.chat_template", Field::Text("{{ messages }}".to_owned()));
    tokens.len() as u64
}

/// The id of a piece of [`sentencepiece`].
pub(super) fn piece(text: &str) -> u32 {
    let at = PIECES.iter().position(|piece| *piece == text).expect("a piece of the sample");
    3 + 256 + at as u32
}

/// Adds a byte-level tokenizer with the pre-tokenizer `pre`: its first tokens are listed by
/// [`BPE_TOKENS`].
pub(super) fn bpe(writer: &mut Writer, pre: &str) -> u64 {
    writer.key("tokenizer.ggml.model", Field::Text("gpt2".to_owned()));
    writer.key("tokenizer.ggml.pre", Field::Text(pre.to_owned()));
    writer.key("tokenizer.ggml.tokens", Field::texts(&BPE_TOKENS));
    let kinds = BPE_TOKENS.iter().map(|t| Field::I32(if t.starts_with("<|") { 3 } else { 1 }));
    writer.key("tokenizer.ggml.token_type", Field::Array(5, kinds.collect()));
    writer.key("tokenizer.ggml.merges", Field::texts(&["a b", "ab c", "Ġ ab", "1 2", "12 3"]));
    writer.key("tokenizer.ggml.bos_token_id", Field::U32(0));
    writer.key("tokenizer.ggml.eos_token_id", Field::U32(1));
    BPE_TOKENS.len() as u64
}

/// The vocabulary of [`bpe`].
pub(super) const BPE_TOKENS: [&str; 16] = [
    "<|begin|>",
    "<|im_end|>",
    "a",
    "b",
    "c",
    "Ġ",
    "ab",
    "abc",
    "Ġab",
    "1",
    "2",
    "3",
    "12",
    "123",
    "abcabc",
    "'",
];
