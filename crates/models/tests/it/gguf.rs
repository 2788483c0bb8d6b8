//! Real models in GGUF files: their tokens against llama.cpp's, their tensors against their config.

use kvr_models::loaders::gguf::{self, Gguf};
use kvr_testing::{model_golden, real_model};

fn model(file: &str) -> Option<Gguf> {
    real_model(file).map(|path| gguf::open(&path).expect("a sound model"))
}

/// Tokens of one text by llama.cpp, with special tokens parsed and not.
fn tokens(name: &str, file: &str) {
    let Some(gguf) = model(file) else { return };
    let goldens = model_golden("gguf");
    let read = |file: &str| std::fs::read_to_string(goldens.join(file)).expect("a golden");
    let text = read("text.txt");
    let mut tokenizer = gguf.tokenizer().expect("a known tokenizer");
    let mut compared = 0;
    for line in read("tokens.tsv").lines() {
        let mut cells = line.split('\t');
        if cells.next() != Some(name) {
            continue;
        }
        let parse = cells.next().expect("how special tokens are taken") == "parse-special";
        let expected = cells.next().expect("tokens").split(' ');
        let expected: Vec<u32> = expected.map(|id| id.parse().expect("a token")).collect();
        tokenizer.parse_special(parse);
        let found = tokenizer.encode(&text).expect("a text");
        assert_eq!(found, expected, "{name}, special tokens parsed: {parse}");
        if !parse {
            assert_eq!(tokenizer.decode(&found).expect("known tokens"), text, "{name}");
        }
        compared += 1;
    }
    assert_eq!(compared, 2, "{name} has two lines in the goldens");
}

/// Every tensor has a place in the family, and names the shape that the config gives it.
fn shapes(file: &str, order: &str) {
    let Some(gguf) = model(file) else { return };
    let config = gguf.config().expect("a known family");
    let size = |key: &str| config[key].as_u64().expect("a size") as usize;
    let (dim, hidden) = (size("head_dim"), size("hidden_size"));
    assert_eq!(config["kvr_channel_order"], order);
    for layer in 0..size("num_hidden_layers") {
        for (stem, heads) in [("attn_q", "num_attention_heads"), ("attn_k", "num_key_value_heads")]
        {
            let name = format!("blk.{layer}.{stem}.weight");
            let tensor = gguf.tensor(&name).expect("a projection");
            assert_eq!(tensor.shape, [size(heads) * dim, hidden], "{name}");
        }
    }
    for (name, _) in gguf.tensors() {
        assert!(gguf.hugging_face_name(name).expect("a known family").is_some(), "{name}");
    }
}

#[test]
fn smollm2_has_llama_cpps_tokens() {
    tokens("smollm2", "smollm2-135m-q4_1.gguf");
    shapes("smollm2-135m-q4_1.gguf", "pairs");
}

#[test]
fn qwen_has_llama_cpps_tokens() {
    tokens("qwen2.5-coder-0.5b", "qwen2.5-coder-0.5b-q4_k_m.gguf");
    shapes("qwen2.5-coder-0.5b-q4_k_m.gguf", "halves");
}

#[test]
fn gemma_3_has_llama_cpps_tokens() {
    tokens("gemma-3-270m", "gemma-3-270m-q4_k_m.gguf");
    shapes("gemma-3-270m-q4_k_m.gguf", "halves");
}
