//! A model whose keys are beyond half precision: what can't be right is refused, the rest is shown.

use std::path::{Path, PathBuf};

use kvr_kernels::f16;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::support::{kvr, stdout};

fn mini(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/mini").join(file)
}

/// The model `mini` with keys `factor` times as large, a power of two, and queries as much smaller:
/// attention stays what it was.
fn with_large_keys(factor: f32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for file in ["config.json", "tokenizer.json"] {
        std::fs::copy(mini(file), folder.path().join(file)).expect("mini's files");
    }
    let bytes = std::fs::read(mini("model.safetensors")).expect("mini's weights");
    let file = SafeTensors::deserialize(&bytes).expect("valid");
    let scaled = |name: &str, view: &TensorView<'_>| -> Vec<u8> {
        assert_eq!(view.dtype(), Dtype::F16, "{name}");
        let factor = match name {
            _ if name.contains("k_proj") => factor,
            _ if name.contains("q_proj") => 1.0 / factor,
            _ => 1.0,
        };
        let values = view.data().chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32());
        values.flat_map(|value| (value * factor).to_le_bytes()).collect()
    };
    let tensors = file.tensors();
    let data: Vec<(String, Vec<usize>, Vec<u8>)> = (tensors.iter())
        .map(|(name, view)| (name.clone(), view.shape().to_vec(), scaled(name, view)))
        .collect();
    let views = data.iter().map(|(name, shape, data)| {
        (name, TensorView::new(Dtype::F32, shape.clone(), data).expect("as many bytes"))
    });
    let bytes = safetensors::serialize(views, None).expect("a file of weights");
    std::fs::write(folder.path().join("model.safetensors"), bytes).expect("a writable folder");
    folder
}

const SMALL: [&str; 9] =
    ["eval", "--ctx", "128", "--chunks", "3", "--backend", "cpu", "--format", "json"];

fn perplexity(record: &Value) -> f64 {
    record["perplexity"].as_f64().expect("a perplexity")
}

#[test]
fn keys_beyond_half_precision_lose_fp16_alone() {
    // Keys of some 10 become 300,000: too large for f16, and not for the scales of blocks.
    let folder = with_large_keys(32_768.0);
    let model = folder.path().to_str().expect("UTF-8");
    let out = folder.path().join("out");
    let policies = ["--policy", "fp16,k8v4,fp32", "--model", model];
    let into = ["--out", out.to_str().expect("UTF-8")];
    let output = kvr(&[&SMALL[..], &policies, &into].concat());
    let said = String::from_utf8(output.stderr).expect("messages are UTF-8");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("kvr: fp16: the loss of a token is NaN"), "{said}");
    assert!(said.contains("too large for their format: use fp32 or bf16"), "{said}");
    assert!(said.contains("not compared: the baseline fp16 failed"), "{said}");

    let records: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    let names: Vec<_> = records.iter().map(|record| &record["policy"]).collect();
    assert_eq!(names, ["k8v4", "fp32"]);
    let written = std::fs::read_to_string(out.join("records.jsonl")).expect("records");
    assert_eq!(written.lines().count(), 2);
    assert!(records.iter().all(|record| record.get("delta_nll").is_none()), "compared to nothing");
    // The others are as right as with the model as it is.
    let plain = stdout(&[&SMALL[..], &["--policy", "k8v4,fp32"]].concat());
    let plain: Vec<Value> = serde_json::from_str(&plain).expect("JSON");
    for (ours, plain) in records.iter().zip(&plain) {
        let off = perplexity(ours) / perplexity(plain) - 1.0;
        assert!(off.abs() < 1e-3, "{}: {off} off", ours["policy"]);
    }
}

#[test]
fn keys_beyond_the_scales_of_blocks_lose_those_too() {
    let folder = with_large_keys(2f32.powi(24));
    let model = folder.path().to_str().expect("UTF-8");
    let policies = ["--policy", "fp16,k8v4,bf16", "--model", model, "--baseline", "bf16"];
    let output = kvr(&[&SMALL[..], &policies].concat());
    let said = String::from_utf8(output.stderr).expect("messages are UTF-8");
    assert_eq!(output.status.code(), Some(1), "{said}");
    for policy in ["fp16", "k8v4"] {
        assert!(said.contains(&format!("kvr: {policy}: the loss of a token is NaN")), "{said}");
    }
    let records: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["policy"], "bf16");
    // All of them fail: there is no table, and nothing is written.
    let out = folder.path().join("out");
    let policies = ["--policy", "fp16,k8v4", "--model", model];
    let into = ["--out", out.to_str().expect("UTF-8")];
    let output = kvr(&[&SMALL[..], &policies, &into].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty() && !out.join("records.jsonl").exists());
}

#[test]
fn generated_text_is_refused_where_logits_are_no_numbers() {
    let folder = with_large_keys(32_768.0);
    let model = folder.path().to_str().expect("UTF-8");
    let prompt = "The first of them was built in the north of the country in the year 1891 , and";
    let args = ["generate", "--model", model, "--policy", "fp16", "--backend", "cpu", "-n", "9"];
    let output = kvr(&[&args[..], &["--prompt", prompt]].concat());
    let said = String::from_utf8(output.stderr).expect("messages are UTF-8");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("fp16: a logit is NaN") && said.contains("use fp32 or bf16"), "{said}");
}
