//! Logits equal those of Hugging Face transformers, in one pass and in steps of any size.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use kvr_kernels::Context;
use kvr_models::{Lengths, Model, ModelSource};
use kvr_policy::Registry;
use kvr_testing::{f32s, model_golden, shared_goldens, u32s, wikitext};
use safetensors::SafeTensors;

use crate::support::{mini, no_hub};

/// The largest difference that is accepted. The references differ by 1e-5 between one pass and
/// token by token among themselves.
const TOLERANCE: f32 = 2e-4;

fn logits(model: &Model, tokens: &[u32], batch: usize, step: usize) -> Vec<f32> {
    let policy = Registry::builtin().policy("fp32").expect("built in");
    let total = tokens.len() / batch;
    let mut caches = model.decoder.caches(&*policy, batch, Lengths::of(total)).expect("caches");
    let vocabulary = model.decoder.spec().vocab_size;
    let mut all = vec![0.0; tokens.len() * vocabulary];
    for from in (0..total).step_by(step) {
        let n = step.min(total - from);
        let rows: Vec<u32> =
            (0..batch).flat_map(|b| tokens[b * total + from..][..n].to_vec()).collect();
        let hidden = model.decoder.forward(&rows, batch, from, false, &mut caches).expect("a step");
        let got = model.decoder.logits(hidden).into_data().try_into_vec::<f32>().expect("f32");
        for (b, got) in got.chunks_exact(n * vocabulary).enumerate() {
            all[(b * total + from) * vocabulary..][..n * vocabulary].copy_from_slice(got);
        }
    }
    all
}

/// The tokens of a golden, its logits, and the ids of its text, where it has one.
fn golden(folder: &Path) -> (Vec<u32>, Vec<f32>, Option<Vec<u32>>) {
    let bytes = std::fs::read(folder.join("golden.safetensors")).expect("a golden");
    let golden = SafeTensors::deserialize(&bytes).expect("a valid golden");
    let data = |name: &str| golden.tensor(name).map(|tensor| tensor.data().to_vec());
    let text = data("text_token_ids").ok();
    let tokens = u32s(&data("tokens").expect("tokens"));
    (tokens, f32s(&data("logits").expect("logits")), text.map(|bytes| u32s(&bytes)))
}

fn worst(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    let off = got.iter().zip(want).map(|(g, w)| (g - w).abs());
    off.fold(0.0, |worst, off| if off > worst || off.is_nan() { off } else { worst })
}

/// Every golden model: those of this repository, and those beside it.
fn golden_models() -> Vec<PathBuf> {
    let mut models = Vec::new();
    for folder in [Some(model_golden("")), Some(model_golden("families")), shared_goldens()] {
        let Some(folder) = folder else { continue };
        let entries = std::fs::read_dir(&folder).expect("a folder of goldens");
        models.extend(entries.map(|entry| entry.expect("a folder's entry").path()));
    }
    let files = ["config.json", "golden.safetensors"];
    models.retain(|path| files.iter().all(|file| path.join(file).exists()));
    models
}

/// In one pass, token by token, and in steps between: factors that depend on the length are chosen
/// once, and windows reach across steps.
#[test]
fn every_family_agrees_with_transformers() {
    let models = golden_models();
    assert!(models.len() > 25, "the repository has its own: {models:?}");
    let mut failed = Vec::new();
    for folder in models {
        let name = folder.display();
        let source = ModelSource::Folder(folder.clone());
        let model = source.load(&no_hub(), &Context::new(&Device::flex()));
        let model = model.unwrap_or_else(|e| panic!("{name}: {e}"));
        let (tokens, want, _) = golden(&folder);
        for step in [tokens.len(), 1, 7] {
            let worst = worst(&logits(&model, &tokens, 1, step), &want);
            if worst.is_nan() || worst > TOLERANCE {
                failed.push(format!("{name}, {step} tokens a step: {worst}"));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn mini_agrees_with_transformers_as_a_batch() {
    let (tokens, want, _) = golden(&model_golden("mini"));
    let model = mini();
    for step in [256, 1] {
        let worst = worst(&logits(&model, &tokens, 2, step), &want);
        assert!(worst <= TOLERANCE, "{step} tokens a step: {worst}");
    }
}

#[test]
fn the_tokenizer_gives_the_ids_of_the_reference() {
    let Some(path) = wikitext("wiki.valid.raw") else { return };
    let (_, _, want) = golden(&model_golden("mini"));
    let text: String =
        std::fs::read_to_string(path).expect("a text").chars().take(20_000).collect();
    let tokenizer = mini().tokenizer.expect("mini has a tokenizer");
    assert_eq!(tokenizer.encode(&text).expect("tokens"), want.expect("ids of the text"));
    assert_eq!(tokenizer.bos(), Some(1));
}
