//! A token scorer: tokens whose values are large stay.

use kvr_policy::{Held, TokenScorer};
use serde::{Deserialize, Serialize};

/// The policy `value-norm`, also `value-norm(ratio=0.75;policy=k8v4)`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ValueNorm {}

impl TokenScorer for ValueNorm {
    const NAME: &'static str = "value-norm";
    const SUMMARY: &'static str = "keeps the tokens whose values have the largest norm";
    const SOURCE: &'static str = "an example";

    fn update(&self, held: &Held<'_>, state: &mut [f32]) {
        if let Some(score) = state.last_mut() {
            *score = held.value.iter().map(|x| x * x).sum::<f32>().sqrt();
        }
    }
}
