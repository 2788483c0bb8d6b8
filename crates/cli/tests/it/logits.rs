//! Logits equal those of Hugging Face transformers, in one pass and in steps of any size.

use burn::tensor::Device;
use kvr_eval::run::metrics::rows::scores;
use kvr_models::{Model, ModelSource};
use kvr_policy::Registry;
use safetensors::SafeTensors;

use crate::support::{f32s, goldens, i32s, mini, no_hub, wikitext};

/// The largest difference that is accepted. The references differ by 1e-5 between one pass and
/// token by token among themselves.
const TOLERANCE: f32 = 2e-4;

fn logits(model: &Model, tokens: &[u32], batch: usize, step: usize) -> Vec<f32> {
    let policy = Registry::builtin().policy("fp32").expect("built in");
    let mut caches = model.decoder.caches(&*policy, batch).expect("caches");
    let total = tokens.len() / batch;
    let vocabulary = model.decoder.spec().vocab_size;
    let mut all = vec![0.0; tokens.len() * vocabulary];
    for from in (0..total).step_by(step) {
        let n = step.min(total - from);
        let rows: Vec<u32> =
            (0..batch).flat_map(|b| tokens[b * total + from..][..n].to_vec()).collect();
        let hidden = model.decoder.forward(&rows, batch, from, &mut caches).expect("a step");
        let got = model.decoder.logits(hidden).into_data().try_into_vec::<f32>().expect("f32");
        for (b, got) in got.chunks_exact(n * vocabulary).enumerate() {
            all[(b * total + from) * vocabulary..][..n * vocabulary].copy_from_slice(got);
        }
    }
    all
}

fn worst(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).map(|(g, w)| (g - w).abs()).fold(0.0, f32::max)
}

#[test]
fn tiny_llamas_agree_with_transformers() {
    for name in ["llama-gqa", "llama-mha-tied", "llama3-rope"] {
        let folder = goldens().join(name);
        let model =
            ModelSource::Folder(folder.clone()).load(&no_hub(), &Device::flex()).expect(name);
        let bytes = std::fs::read(folder.join("golden.safetensors")).expect("a golden");
        let golden = SafeTensors::deserialize(&bytes).expect("a valid golden");
        let (tokens, want) = (i32s(&golden, "tokens"), f32s(&golden, "logits"));
        for step in [tokens.len(), 1, 7] {
            let worst = worst(&logits(&model, &tokens, 1, step), &want);
            assert!(worst <= TOLERANCE, "{name}, {step} tokens a step: {worst}");
        }
    }
}

#[test]
fn mini_agrees_with_transformers_as_a_batch() {
    let bytes = std::fs::read(goldens().join("mini/golden.safetensors")).expect("a golden");
    let golden = SafeTensors::deserialize(&bytes).expect("a valid golden");
    let (tokens, want) = (i32s(&golden, "tokens"), f32s(&golden, "logits"));
    let model = mini();
    for step in [256, 1] {
        let got = logits(&model, &tokens, 2, step);
        let worst = worst(&got, &want);
        assert!(worst <= TOLERANCE, "{step} tokens a step: {worst}");
        for sequence in 0..2 {
            let rows = &got[sequence * 256 * 4096..][..255 * 4096];
            let losses = scores(rows, &tokens[sequence * 256 + 1..][..255]);
            let losses = losses.iter().map(|score| score.nll);
            for (ours, theirs) in losses.zip(&f32s(&golden, "nll")[sequence * 255..]) {
                assert!((ours - f64::from(*theirs)).abs() < 1e-4, "{ours} against {theirs}");
            }
        }
    }
}

#[test]
fn the_tokenizer_gives_the_ids_of_the_reference() {
    let Some(path) = wikitext("wiki.valid.raw") else { return };
    let bytes = std::fs::read(goldens().join("mini/golden.safetensors")).expect("a golden");
    let golden = SafeTensors::deserialize(&bytes).expect("a valid golden");
    let text: String =
        std::fs::read_to_string(path).expect("a text").chars().take(20_000).collect();
    let tokenizer = mini().tokenizer.expect("mini has a tokenizer");
    assert_eq!(tokenizer.encode(&text).expect("tokens"), i32s(&golden, "text_token_ids"));
    assert_eq!(tokenizer.bos(), Some(1));
}
