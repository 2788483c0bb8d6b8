//! SnapKV (Li et al. 2024, arXiv 2404.14469): the attention of a window of recent queries, pooled
//! over neighbouring tokens.
//!
//! The newest `window` tokens stay. A token's score is the attention it received from the queries of
//! the window, averaged over `pool` neighbours so that what stands together stays together.
//!
//! Deviation: the paper compresses once, after the prompt, with the prompt's last 32 queries. Here
//! the window moves on, in two halves: the current one and the one before it, so a score covers
//! between one and two half windows of queries. Pooling runs over the tokens held.

use serde::{Deserialize, Serialize};

use crate::Budget;
use crate::method::Setting;
use crate::scorer::{EvictDefaults, Held, TokenScorer};

/// Attention received lately, pooled.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct SnapKv {
    /// Queries that vote.
    pub window: u32,
    /// Tokens that a score is averaged over.
    pub pool: usize,
}

impl Default for SnapKv {
    fn default() -> Self {
        Self { window: 32, pool: 5 }
    }
}

impl TokenScorer for SnapKv {
    const NAME: &'static str = "snapkv";
    const SUMMARY: &'static str = "keeps what recent queries attend to, and its neighbours";
    const SOURCE: &'static str = "SnapKV: Li et al. 2024, arXiv 2404.14469";
    const SETTINGS: &'static [Setting] = &[
        Setting { name: "window", unit: "queries", about: "recent queries that vote" },
        Setting { name: "pool", unit: "tokens", about: "neighbours that a score is averaged over" },
    ];
    const NEEDS_ATTENTION: bool = true;
    /// The score, and the attention received in this half window and in the one before.
    const STATE: usize = 3;
    const NEEDS_ROWS: bool = false;

    fn update(&self, held: &Held<'_>, state: &mut [f32]) {
        let newest = held.positions.last().copied().unwrap_or(0);
        let new_half = newest.is_multiple_of((self.window / 2).max(1));
        let (rows, _) = state.as_chunks_mut::<3>();
        for ([_, now, before], weight) in rows.iter_mut().zip(held.attention) {
            if new_half {
                *before = std::mem::take(now);
            }
            *now += weight;
        }
        let votes: Vec<f32> = rows.iter().map(|[_, now, before]| now + before).collect();
        let side = self.pool / 2;
        for (i, [score, ..]) in rows.iter_mut().enumerate() {
            let around = &votes[i.saturating_sub(side)..votes.len().min(i + side + 1)];
            *score = around.iter().sum::<f32>() / around.len() as f32;
        }
    }

    fn defaults() -> EvictDefaults {
        EvictDefaults { recent: Budget::Tokens(32), ..EvictDefaults::default() }
    }
}
