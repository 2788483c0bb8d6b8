//! Knorm (Devoto et al. 2024, arXiv 2406.11430): keeps keys of small norm, which receive much
//! attention.

use serde::{Deserialize, Serialize};

use crate::scorer::{Held, TokenScorer};

/// Minus the norm of a token's key.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Knorm {}

impl TokenScorer for Knorm {
    const NAME: &'static str = "knorm";
    const SUMMARY: &'static str = "keeps the tokens whose keys have the smallest norm";
    const SOURCE: &'static str = "Devoto et al. 2024, arXiv 2406.11430; kvpress `KnormPress`";

    fn update(&self, held: &Held<'_>, state: &mut [f32]) {
        if let Some(score) = state.last_mut() {
            *score = -held.key.iter().map(|x| x * x).sum::<f32>().sqrt();
        }
    }
}
