//! StreamingLLM (Xiao et al. 2023, arXiv 2309.17453): the first tokens and a sliding window.
//!
//! Deviation: keys keep the positions of the text; the paper renumbers what is held from 0.

use serde::{Deserialize, Serialize};

use crate::scorer::{EvictDefaults, Held, TokenScorer};

/// The newer, the better.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct StreamingLlm {}

impl TokenScorer for StreamingLlm {
    const NAME: &'static str = "streaming-llm";
    const SUMMARY: &'static str = "keeps the first tokens and the newest";
    const SOURCE: &'static str = "StreamingLLM: Xiao et al. 2023, arXiv 2309.17453";
    const NEEDS_ROWS: bool = false;

    fn update(&self, held: &Held<'_>, state: &mut [f32]) {
        if let (Some(position), Some(score)) = (held.positions.last(), state.last_mut()) {
            *score = *position as f32;
        }
    }

    fn defaults() -> EvictDefaults {
        EvictDefaults { sinks: 4, ..EvictDefaults::default() }
    }
}
