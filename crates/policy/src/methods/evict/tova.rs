//! TOVA (Oren et al. 2024, arXiv 2401.06104): drops what the newest query attends to least.
//!
//! As in the paper, heads of a layer decide together, by the mean of their weights.

use serde::{Deserialize, Serialize};

use crate::scorer::{EvictDefaults, Heads, Held, TokenScorer};

/// The attention of the newest query alone.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Tova {}

impl TokenScorer for Tova {
    const NAME: &'static str = "tova";
    const SUMMARY: &'static str = "keeps what the newest query attends to most";
    const SOURCE: &'static str = "TOVA: Oren et al. 2024, arXiv 2401.06104";
    const NEEDS_ATTENTION: bool = true;
    const NEEDS_ROWS: bool = false;

    fn update(&self, held: &Held<'_>, state: &mut [f32]) {
        for (score, weight) in state.iter_mut().zip(held.attention) {
            *score = *weight;
        }
    }

    fn defaults() -> EvictDefaults {
        EvictDefaults { heads: Heads::Layer, ..EvictDefaults::default() }
    }
}
