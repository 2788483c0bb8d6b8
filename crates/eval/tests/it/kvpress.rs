//! Prompts compressed as kvpress 0.5.5 does: the same tokens stay in every layer and head, and what
//! follows has the same losses.

use kvr_eval::run::metrics::rows::scores;
use kvr_eval::run::session::logits;
use kvr_models::{Caches, Decoder, Lengths, Model};
use kvr_policy::Registry;
use kvr_policy::wrap::PostPrefill;
use kvr_testing::{f32s, u32s};
use safetensors::SafeTensors;

use crate::support::mini;

/// A golden file, its prompt, and the share that is dropped.
const RUNS: [(&str, usize, &str); 2] =
    [("mini-384-0.5", 384, "0.5"), ("mini-700-0.25", 700, "0.25")];

/// kvpress's name of a method, and ours with its settings; `#` is the ratio.
const METHODS: [(&str, &str); 3] = [
    ("snapkv", "snapkv(ratio=#;window=32;policy=fp32)"),
    ("adakv-snapkv", "adakv(snapkv(ratio=#;window=32;policy=fp32))"),
    ("streaming-llm", "streaming-llm(ratio=#;policy=fp32)"),
];

/// The largest difference of a loss: f32 sums in another order.
const TOLERANCE: f64 = 1e-4;

fn losses(decoder: &Decoder, prompt: &[u32], rest: &[u32], caches: &mut Caches) -> Vec<f64> {
    let last = prompt.len() - 1;
    let hidden = decoder.forward(prompt, 1, 0, true, caches).expect("a prompt").narrow(0, last, 1);
    let first = scores(&logits(decoder, hidden).expect("logits"), &rest[..1]);
    let (given, wanted) = (&rest[..rest.len() - 1], &rest[1..]);
    let hidden = decoder.forward(given, 1, prompt.len(), false, caches).expect("a continuation");
    let others = scores(&logits(decoder, hidden).expect("logits"), wanted);
    first.iter().chain(&others).map(|score| score.nll).collect()
}

fn check(model: &Model, file: &SafeTensors<'_>, prompt: usize, theirs: &str, ours: &str) {
    let tensor = |name: &str| file.tensor(&format!("{name}.{theirs}")).ok();
    let tokens = u32s(file.tensor("tokens").expect("tokens").data());
    let (prompt, rest) = tokens.split_at(prompt);
    let policy = PostPrefill(Registry::builtin().policy(ours).expect(ours));
    let decoder = &model.decoder;
    let lengths = Lengths { planned: Some(prompt.len()), longest: tokens.len() };
    let mut caches = decoder.caches(&policy, 1, lengths).expect(ours);
    let got = losses(decoder, prompt, rest, &mut caches);
    let kept = tensor("kept").expect("kept positions");
    let n = kept.shape()[2];
    let kept = u32s(kept.data());
    let heads = kept.chunks_exact(n).map(|head| -> Vec<usize> {
        // Shorter heads are filled with -1.
        head.iter().filter(|at| **at != u32::MAX).map(|at| *at as usize).collect()
    });
    let kv_heads = decoder.spec().geometry.kv_heads;
    for (i, want) in heads.enumerate() {
        let mut held = caches[i / kv_heads].view().positions(0, i % kv_heads);
        held.retain(|at| *at < prompt.len());
        assert_eq!(held, want, "{ours}: layer {}, head {}", i / kv_heads, i % kv_heads);
    }
    let Some(want) = tensor("nll") else { return };
    for (at, (got, want)) in got.iter().zip(f32s(want.data())).enumerate() {
        let off = (got - f64::from(want)).abs();
        assert!(off <= TOLERANCE, "{ours}: loss {at} is {got}, not {want}");
    }
}

#[test]
fn the_same_tokens_are_kept_and_the_same_losses_follow() {
    let model = mini();
    for (run, prompt, ratio) in RUNS {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/kvpress");
        let bytes = std::fs::read(format!("{folder}/{run}.safetensors")).expect("a golden");
        let file = SafeTensors::deserialize(&bytes).expect("a valid golden file");
        for (theirs, ours) in METHODS {
            check(&model, &file, prompt, theirs, &ours.replace('#', ratio));
        }
    }
}
