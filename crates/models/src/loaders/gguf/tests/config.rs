//! What the metadata becomes, architecture by architecture.

use serde_json::{Value as Json, json};

use super::sample::{self, HEAD};
use super::writer::{Field, Writer};
use super::{open, refused};

fn config_of(writer: &Writer) -> Json {
    open(writer.bytes()).and_then(|gguf| gguf.config()).expect("a sound model")
}

fn error_of(writer: &Writer) -> String {
    match open(writer.bytes()).and_then(|gguf| gguf.config()) {
        Ok(_) => panic!("a model that can't be run was accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn every_architecture_has_its_family_and_order_of_channels() {
    for (architecture, model_type, order, one) in [
        ("llama", "llama", "pairs", false),
        ("qwen2", "qwen2", "halves", false),
        ("qwen3", "qwen3", "halves", false),
        ("phi3", "phi3", "halves", false),
        ("gemma2", "gemma2", "halves", true),
        ("gemma3", "gemma3_text", "halves", true),
        ("smollm3", "smollm3", "pairs", false),
    ] {
        let config = config_of(&sample::model(architecture, 40));
        assert_eq!(config["model_type"], model_type);
        assert_eq!(config["kvr_channel_order"], order, "{architecture}");
        assert_eq!(config["kvr_norm_includes_one"], one, "{architecture}");
        assert_eq!(config["num_hidden_layers"], sample::LAYERS);
        assert_eq!(config["num_key_value_heads"], sample::KV_HEADS);
        assert_eq!(config["head_dim"], HEAD);
        assert_eq!(config["vocab_size"], 40);
        assert_eq!(config["tie_word_embeddings"], true);
        let act = if one { "hidden_activation" } else { "hidden_act" };
        assert!(config[act].is_string(), "{architecture}");
    }
}

#[test]
fn other_models_are_refused_with_a_reason() {
    assert!(error_of(&sample::model("falcon", 40)).contains("is \"falcon\", which kvr can't run"));
    let mut experts = sample::model("llama", 40);
    experts.key("llama.expert_count", Field::U32(8));
    assert!(error_of(&experts).contains("mixture of experts"));
    let mut missing = sample::model("llama", 40);
    missing.set("llama.block_count", None);
    assert!(error_of(&missing).contains("\"llama.block_count\" is missing"));
    let mut deep = sample::model("gemma2", 40);
    deep.set("gemma2.block_count", Some(Field::U32(u32::MAX)));
    assert!(error_of(&deep).contains("is 4294967295, but there is no tensor blk.4294967294."));
    let mut uneven = sample::model("llama", 40);
    let heads = Field::Array(4, vec![Field::U32(4), Field::U32(2)]);
    uneven.set("llama.attention.head_count", Some(heads));
    assert!(error_of(&uneven).contains("differs between layers"));
    let mut wide = sample::model("llama", 40);
    wide.set("llama.attention.value_length", Some(Field::U32(16)));
    assert!(error_of(&wide).contains("is 16, but keys have 32"));
    assert!(refused(Vec::from(*b"GGU")).contains("header at byte 0"));
}

#[test]
fn llama_3_brings_its_factors_and_mistral_its_window() {
    let mut llama = sample::model("llama", 40);
    let factors: Vec<f32> = (0..16).map(|j| if j < 8 { 1.0 } else { 8.0 }).collect();
    llama.key("llama.rope.freq_base", Field::F32(500_000.0));
    llama.floats("rope_freqs.weight", &[16], &factors);
    llama.floats("output.weight", &[64, 40], &[0.0; 64 * 40]);
    let config = config_of(&llama);
    assert_eq!(config["tie_word_embeddings"], false);
    let rope = &config["rope_parameters"];
    assert_eq!((&rope["rope_type"], &rope["rope_theta"]), (&json!("longrope"), &json!(500_000.0)));
    assert_eq!((&rope["long_factor"], &rope["short_factor"]), (&json!(factors), &json!(factors)));
    assert_eq!(rope["attention_factor"], 1.0);
    let mut mistral = sample::model("llama", 40);
    mistral.key("llama.attention.sliding_window", Field::U32(24));
    let config = config_of(&mistral);
    assert_eq!((&config["model_type"], &config["sliding_window"]), (&json!("mistral"), &json!(24)));
    let mut broken = sample::model("llama", 40);
    broken.floats("rope_freqs.weight", &[2], &[1.0, f32::NAN]);
    assert!(error_of(&broken).contains("rope_freqs.weight has a factor that is not positive"));
}

#[test]
fn scalings_of_rope_come_in_hugging_faces_spelling() {
    let scaled = |kind: &str, keys: &[(&str, Field)]| {
        let mut writer = sample::model("qwen2", 40);
        writer.key("qwen2.rope.scaling.type", Field::Text(kind.to_owned()));
        for (key, field) in keys {
            writer.key(&format!("qwen2.rope.scaling.{key}"), field.clone());
        }
        writer
    };
    let linear = config_of(&scaled("linear", &[("factor", Field::F32(4.0))]));
    let expected = json!({ "rope_type": "linear", "factor": 4.0, "rope_theta": 10_000.0 });
    assert_eq!(linear["rope_parameters"], expected);
    let yarn =
        scaled("yarn", &[("factor", Field::F32(4.0)), ("original_context_length", Field::U32(64))]);
    let expected = json!({
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64,
        "rope_theta": 10_000.0,
    });
    assert_eq!(config_of(&yarn)["rope_parameters"], expected);
    assert!(error_of(&scaled("yarn", &[])).contains("rope.scaling.factor is missing"));
    assert!(error_of(&scaled("spiral", &[])).contains("\"spiral\", which is not supported"));
}

#[test]
fn phi_3_rotates_a_part_and_has_two_lists_of_factors() {
    let mut phi = sample::model("phi3", 40);
    phi.key("phi3.rope.dimension_count", Field::U32(24));
    phi.key("phi3.rope.scaling.original_context_length", Field::U32(64));
    phi.key("phi3.rope.scaling.attn_factor", Field::F32(1.25));
    phi.floats("rope_factors_long.weight", &[12], &[2.0; 12]);
    phi.floats("rope_factors_short.weight", &[12], &[1.0; 12]);
    let config = config_of(&phi);
    assert_eq!(config["partial_rotary_factor"], 0.75);
    assert_eq!(config["original_max_position_embeddings"], 64);
    let rope = &config["rope_parameters"];
    assert_eq!(rope["long_factor"], json!(vec![2.0; 12]));
    assert_eq!(rope["short_factor"], json!(vec![1.0; 12]));
    assert_eq!(rope["attention_factor"], 1.25);
}

#[test]
fn gemmas_have_windows_scales_and_caps() {
    let mut gemma = sample::model("gemma2", 40);
    gemma.key("gemma2.attention.sliding_window", Field::U32(24));
    gemma.key("gemma2.attn_logit_softcapping", Field::F32(5.0));
    let config = config_of(&gemma);
    assert_eq!(config["layer_types"], json!(["sliding_attention", "full_attention"]));
    assert_eq!(config["query_pre_attn_scalar"], HEAD);
    assert_eq!(config["attn_logit_softcapping"], 5.0);
    assert_eq!(config["final_logit_softcapping"], 30.0);
    let mut gemma = sample::model("gemma3", 40);
    gemma.key("gemma3.rope.freq_base", Field::F32(1e6));
    assert_eq!(config_of(&gemma)["layer_types"], json!(["full_attention", "full_attention"]));
    gemma.key("gemma3.attention.sliding_window", Field::U32(24));
    let config = config_of(&gemma);
    assert_eq!(config["layer_types"], json!(["sliding_attention", "sliding_attention"]));
    assert_eq!(config["sliding_window"], 24);
    assert_eq!(config["attn_logit_softcapping"], Json::Null);
    assert_eq!(config["rope_parameters"]["full_attention"]["rope_theta"], 1e6);
    assert_eq!(config["rope_parameters"]["sliding_attention"]["rope_theta"], 1e4);
    let pattern = Field::Array(7, vec![Field::Bool(false), Field::Bool(true)]);
    gemma.key("gemma3.attention.sliding_window_pattern", pattern);
    let config = config_of(&gemma);
    assert_eq!(config["layer_types"], json!(["full_attention", "sliding_attention"]));
}

#[test]
fn tensors_have_their_familys_names() {
    for (architecture, gguf, hugging_face) in [
        ("llama", "token_embd.weight", "model.embed_tokens.weight"),
        ("llama", "output.weight", "lm_head.weight"),
        ("llama", "blk.11.attn_q.weight", "model.layers.11.self_attn.q_proj.weight"),
        ("llama", "blk.0.ffn_norm.weight", "model.layers.0.post_attention_layernorm.weight"),
        ("qwen2", "blk.3.attn_k.bias", "model.layers.3.self_attn.k_proj.bias"),
        ("qwen3", "blk.3.attn_q_norm.weight", "model.layers.3.self_attn.q_norm.weight"),
        ("phi3", "blk.0.attn_qkv.weight", "model.layers.0.self_attn.qkv_proj.weight"),
        ("phi3", "blk.0.ffn_up.weight", "model.layers.0.mlp.gate_up_proj.weight"),
        ("gemma3", "blk.1.ffn_norm.weight", "model.layers.1.pre_feedforward_layernorm.weight"),
        (
            "gemma2",
            "blk.1.post_attention_norm.weight",
            "model.layers.1.post_attention_layernorm.weight",
        ),
        (
            "gemma3",
            "blk.1.post_ffw_norm.weight",
            "model.layers.1.post_feedforward_layernorm.weight",
        ),
    ] {
        let gguf_file = open(sample::model(architecture, 40).bytes()).expect("a sound model");
        let name = gguf_file.hugging_face_name(gguf).expect("a known architecture");
        assert_eq!(name.as_deref(), Some(hugging_face), "{architecture}");
        for other in ["rope_freqs.weight", "blk.x.attn_q.weight", "blk.0.attn_q", "token_embd.x"] {
            let name = gguf_file.hugging_face_name(other).expect("a known architecture");
            assert_eq!(name, None, "{other}");
        }
    }
}
