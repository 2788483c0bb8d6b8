//! H2O (Zhang et al. 2023, arXiv 2306.14048): heavy hitters, tokens that received most attention.
//!
//! A token's score is the attention that it received from all queries so far; half of the budget is
//! for the newest tokens. As in the paper, scores are sums, so that old tokens have an advantage.

use serde::{Deserialize, Serialize};

use crate::budget::Recent;
use crate::scorer::{EvictDefaults, Held, TokenScorer};

/// The sum of the attention received.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct H2o {}

impl TokenScorer for H2o {
    const NAME: &'static str = "h2o";
    const SUMMARY: &'static str = "keeps the tokens that received most attention, and the newest";
    const SOURCE: &'static str = "H2O: Zhang et al. 2023, arXiv 2306.14048";
    const NEEDS_ATTENTION: bool = true;
    const NEEDS_ROWS: bool = false;

    fn update(&self, held: &Held<'_>, state: &mut [f32]) {
        for (score, weight) in state.iter_mut().zip(held.attention) {
            *score += weight;
        }
    }

    fn defaults() -> EvictDefaults {
        EvictDefaults { recent: Recent::Share(0.5), ..EvictDefaults::default() }
    }
}
