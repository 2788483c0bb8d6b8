//! Losses equal those of Hugging Face transformers, and a plain sum over its logits.

use std::ops::Range;

use kvr_eval::run::metrics::rows::scores;
use kvr_eval::run::modes::Mode;
use kvr_eval::run::protocols::{Plan, Window};
use kvr_eval::run::runner::{Reference, evaluate};
use kvr_policy::Registry;
use kvr_testing::{f32s, model_golden, u32s};
use safetensors::SafeTensors;

use crate::support::mini;

/// Tokens of a sequence of the golden, which has two.
const SEQUENCE: usize = 256;

/// Tokens in the vocabulary of `mini`.
const VOCABULARY: usize = 4096;

/// What transformers computed of `mini`.
struct Golden {
    /// `[2, SEQUENCE]`.
    tokens: Vec<u32>,
    /// `[2, SEQUENCE, VOCABULARY]`.
    logits: Vec<f32>,
    /// `[2, SEQUENCE - 1]`: the loss of each token but the first, in nats.
    nll: Vec<f32>,
}

fn golden() -> Golden {
    let bytes = std::fs::read(model_golden("mini").join("golden.safetensors")).expect("a golden");
    let file = SafeTensors::deserialize(&bytes).expect("a valid golden");
    let data = |name: &str| file.tensor(name).expect("a tensor of the golden").data().to_vec();
    Golden { tokens: u32s(&data("tokens")), logits: f32s(&data("logits")), nll: f32s(&data("nll")) }
}

#[test]
fn scores_equal_the_losses_of_transformers() {
    let Golden { tokens, logits, nll } = golden();
    for sequence in 0..2 {
        let rows = &logits[sequence * SEQUENCE * VOCABULARY..][..(SEQUENCE - 1) * VOCABULARY];
        let losses = scores(rows, &tokens[sequence * SEQUENCE + 1..][..SEQUENCE - 1]);
        assert_eq!(losses.len(), SEQUENCE - 1);
        for (ours, theirs) in losses.iter().zip(&nll[sequence * (SEQUENCE - 1)..]) {
            let (ours, theirs) = (ours.nll, f64::from(*theirs));
            assert!((ours - theirs).abs() < 1e-4, "{ours} against {theirs}");
        }
    }
}

/// The loss of the token after `position`, from the golden's logits.
fn plain(golden: &Golden, position: usize) -> f64 {
    let row = &golden.logits[position * VOCABULARY..][..VOCABULARY];
    let sum: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
    sum.ln() - f64::from(row[golden.tokens[position + 1] as usize])
}

/// One window from the start of the sequence: all its tokens but the first, as `gptq` cuts it, and
/// those from 128 on, as in a window of `strided` whose first half an earlier one scored.
#[test]
fn windows_are_scored_as_the_logits_of_transformers_say() {
    let golden = golden();
    let model = mini();
    let policy = Registry::builtin().policy("fp32").expect("built in");
    let scored: [Range<usize>; 2] = [0..SEQUENCE - 1, SEQUENCE / 2 - 1..SEQUENCE - 1];
    for scored in scored {
        let tokens = golden.tokens[..SEQUENCE].to_vec();
        let window = Window { tokens, scored: scored.clone(), block: 0 };
        let plan = Plan { windows: vec![window], ..Plan::default() };
        let want: Vec<f64> = scored.map(|position| plain(&golden, position)).collect();
        for mode in [Mode::CacheRead, Mode::Decode] {
            let policies = std::slice::from_ref(&policy);
            let how = (mode, 100);
            let outcome = evaluate(&model, &plan, how, policies, Reference::None, None, &mut || ());
            let outcome = outcome.expect("an evaluation").remove(0).expect("numbers");
            let losses = &outcome.losses[0];
            assert_eq!(losses.len(), want.len());
            for (got, want) in losses.iter().zip(&want) {
                assert!((got - want).abs() < 1e-4, "{got} against {want}");
            }
        }
    }
}
