//! Prompts compressed as kvpress 0.5.5 does: the same tokens stay in every layer and head, and what
//! follows has the same losses.

use burn::Tensor;
use kvr_eval::run::metrics::rows::scores;
use kvr_eval::run::session::logits;
use kvr_models::{Lengths, Model};
use kvr_policy::wrap::PostPrefill;
use kvr_policy::{KvCachePolicy, Registry};
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

/// The positions that each head keeps, `[layers · Hkv]`; shorter heads are filled with -1.
fn kept(file: &SafeTensors<'_>, method: &str) -> Vec<Vec<usize>> {
    let kept = file.tensor(&format!("kept.{method}")).expect("kept positions");
    let n = kept.shape()[2];
    let head = |head: &[u32]| {
        let kept = head.iter().filter(|at| **at != u32::MAX);
        kept.map(|at| *at as usize).collect()
    };
    u32s(kept.data()).chunks_exact(n).map(head).collect()
}

fn check(model: &Model, file: &SafeTensors<'_>, prompt: usize, theirs: &str, ours: &str) {
    let tokens = u32s(file.tensor("tokens").expect("tokens").data());
    let (prompt, rest) = tokens.split_at(prompt);
    let policy = PostPrefill(Registry::builtin().policy(ours).expect(ours));
    let decoder = &model.decoder;
    let lengths = Lengths { planned: Some(prompt.len()), longest: tokens.len() };
    let mut caches = decoder.caches(&policy, 1, lengths).expect(ours);
    let hidden = decoder.forward(prompt, 1, 0, true, &mut caches).expect("a prompt");

    let kv_heads = decoder.spec().geometry.kv_heads;
    for (i, want) in kept(file, theirs).into_iter().enumerate() {
        let (layer, head) = (i / kv_heads, i % kv_heads);
        let held = caches[layer].view().positions(0, head);
        assert_eq!(held, want, "{ours}: layer {layer}, head {head}");
    }

    // kvpress does not go on where heads keep other numbers of tokens, and never evicts later.
    let Ok(want) = file.tensor(&format!("nll.{theirs}")) else { return };
    if !policy.promise().compresses_prompts {
        return;
    }
    let last = hidden.narrow(0, prompt.len() - 1, 1);
    let given = &rest[..rest.len() - 1];
    let others = decoder.forward(given, 1, prompt.len(), false, &mut caches).expect("a step");
    let hidden = Tensor::cat(vec![last, others], 0);
    let got = scores(&logits(decoder, hidden).expect("logits"), rest);
    for (at, (got, want)) in got.iter().zip(f32s(want.data())).enumerate() {
        let off = (got.nll - f64::from(want)).abs();
        assert!(off <= TOLERANCE, "{ours}: loss {at} is {}, not {want}", got.nll);
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
