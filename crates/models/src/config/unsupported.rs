//! Architectures that kvr does not run. Their configs have keys that say so; a config is refused by
//! such a key before its sizes are read, because these would be read wrongly.

use serde_json::Value;

use super::Config;
use crate::ModelError;

const LATENT: &str = "multi-head latent attention (MLA)";
const EXPERTS: &str = "a mixture of experts";
const HYBRID: &str = "a hybrid of attention and other layers";
const SHARED: &str = "sharing keys and values between layers";
const CROSS: &str = "attention to another input";
const BOTH_WAYS: &str = "attention in both directions";

/// Keys, and what it means that they are there.
const KEYS: &[(&str, &str)] = &[
    ("kv_lora_rank", LATENT),
    ("q_lora_rank", LATENT),
    ("num_experts", EXPERTS),
    ("num_local_experts", EXPERTS),
    ("n_routed_experts", EXPERTS),
    ("num_routed_experts", EXPERTS),
    ("moe_num_experts", EXPERTS),
    ("moe_intermediate_size", EXPERTS),
    ("mamba_d_state", HYBRID),
    ("mamba_d_ssm", HYBRID),
    ("mamba_num_heads", HYBRID),
    ("ssm_state_size", HYBRID),
    ("ssm_cfg", HYBRID),
    ("lru_width", HYBRID),
    ("conv_L_cache", HYBRID),
    ("linear_num_key_heads", HYBRID),
    ("linear_attn_config", HYBRID),
    ("full_attention_interval", HYBRID),
    ("attn_layer_period", HYBRID),
    ("attn_layer_indices", HYBRID),
    ("attn_type_list", HYBRID),
    ("layers_block_type", HYBRID),
    ("block_types", HYBRID),
    ("hybrid_override_pattern", HYBRID),
    ("hybrid_layer_ids", HYBRID),
    ("num_kv_shared_layers", SHARED),
    ("cross_attention_layers", CROSS),
    ("is_encoder_decoder", CROSS),
    ("use_bidirectional_attention", BOTH_WAYS),
];

/// Kinds of layers that kvr runs.
const LAYER_TYPES: [&str; 2] = ["full_attention", "sliding_attention"];

/// An error that names the key of an architecture that kvr does not run.
pub(crate) fn refuse_unsupported(config: &Config) -> Result<(), ModelError> {
    let refuse = |key: &str, value: &Value, what: &str| {
        let value: String = value.to_string().chars().take(60).collect();
        Err(config.error(format!(
            "{key} is {value}: {what} is not supported; kvr runs dense decoders, each \
             of whose layers has attention of its own"
        )))
    };
    for (key, what) in KEYS {
        if let Some(value) = config.get(key).filter(|value| says_something(value)) {
            return refuse(key, value, what);
        }
    }
    for value in config.list("layer_types")?.unwrap_or_default() {
        if !value.as_str().is_some_and(|kind| LAYER_TYPES.contains(&kind)) {
            return refuse("layer_types", value, "such a layer");
        }
    }
    match config.section("text_config")? {
        Some(text) => refuse_unsupported(&text),
        None => Ok(()),
    }
}

/// Whether a value is more than a way of saying "none of it".
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(values) => !values.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Option<String> {
        let config = Config::parse(text.as_bytes(), "config.json").expect("JSON");
        refuse_unsupported(&config).err().map(|e| e.to_string())
    }

    #[test]
    fn the_key_that_is_not_supported_is_named() {
        let said = refused(r#"{"kv_lora_rank": 512, "num_attention_heads": 16}"#).expect("MLA");
        assert!(said.contains("kv_lora_rank is 512") && said.contains("not supported"), "{said}");
        let said = refused(r#"{"layer_types": ["full_attention", "mamba"]}"#).expect("hybrid");
        assert!(said.contains("layer_types") && said.contains("mamba"), "{said}");
        let said = refused(r#"{"text_config": {"num_local_experts": 8}}"#).expect("experts");
        assert!(said.contains("num_local_experts"), "{said}");
        assert_eq!(refused(r#"{"num_experts": 0, "q_lora_rank": null, "block_types": []}"#), None);
    }
}
