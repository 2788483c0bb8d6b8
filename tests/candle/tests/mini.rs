//! Logits of `mini` equal those of candle's Llama, a program that shares no code with ours.
//!
//! `kvr` is run as a program beside this test's own, as anyone would to check it.

use std::path::{Path, PathBuf};
use std::process::Command;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::llama::{Cache, Llama, LlamaConfig};
use safetensors::SafeTensors;

const VOCABULARY: usize = 4096;

/// The program that the workspace builds: `target/release/kvr` beside `target/release/deps`.
fn kvr() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own file");
    let folder = test.parent().and_then(Path::parent).expect("tests lie in target/<profile>/deps");
    let program = folder.join(format!("kvr{}", std::env::consts::EXE_SUFFIX));
    assert!(program.exists(), "build it first: cargo build --release -p kvr");
    program
}

fn ours(tokens: &[u32]) -> Vec<f32> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("logits.safetensors");
    let list = tokens.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let status = Command::new(kvr())
        .args(["logits", "--backend", "cpu", "--policy", "fp32", "--tokens", &list, "--out"])
        .arg(&out)
        .status();
    assert!(status.expect("kvr starts").success());
    let bytes = std::fs::read(&out).expect("logits");
    let file = SafeTensors::deserialize(&bytes).expect("valid safetensors");
    let data = file.tensor("logits").expect("logits").data().to_vec();
    data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

#[test]
fn mini_agrees_with_candle() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/models/mini");
    let config = std::fs::read(folder.join("config.json")).expect("mini's config");
    let config: LlamaConfig = serde_json::from_slice(&config).expect("a Llama config");
    let config = config.into_config(false);
    let weights = std::fs::read(folder.join("model.safetensors")).expect("mini's weights");
    let builder = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu);
    let theirs = Llama::load(builder.expect("weights"), &config).expect("candle's Llama");

    let tokens: Vec<u32> =
        (0..120).map(|i| if i == 0 { 1 } else { (i * 131 + 7) % 4096 }).collect();
    let ours = ours(&tokens);
    // candle returns the logits of the last token of a prompt only.
    for length in [1, 2, 40, 120] {
        let mut cache = Cache::new(true, DType::F32, &config, &Device::Cpu).expect("a cache");
        let input = Tensor::new(&tokens[..length], &Device::Cpu).and_then(|t| t.unsqueeze(0));
        let want = theirs.forward(&input.expect("tokens"), 0, &mut cache).expect("logits");
        let want = want.flatten_all().and_then(|t| t.to_vec1::<f32>()).expect("f32");
        let got = &ours[(length - 1) * VOCABULARY..][..VOCABULARY];
        let worst = got.iter().zip(&want).map(|(g, w)| (g - w).abs()).fold(0.0, f32::max);
        assert!(worst <= 2e-4, "after {length} tokens: {worst}");
    }
}
