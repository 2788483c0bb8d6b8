//! SnapKV (Li et al. 2024, arXiv 2404.14469): keeps what the prompt's last queries attend to, and
//! its neighbours.
//!
//! A token's score is the attention that it gets from the last `window` queries, averaged over them
//! and the query heads of its key-value head, then over `kernel` neighbours; the window itself
//! stays. As kvpress's `SnapKVPress`: tokens beyond the edges count as zeros in the average.

use burn::Tensor;
use burn::tensor::module::avg_pool1d;
use burn::tensor::ops::AvgPoolOptions;
use serde::{Deserialize, Serialize};

use crate::Setting;
use crate::prompt::{Needs, Prompt};
use crate::scorer::PromptScorer;
use crate::{LayerGeometry, PolicyError};

/// The settings of SnapKV.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct SnapKv {
    /// Queries that vote, and tokens that stay, at the end of the prompt.
    pub window: usize,
    /// Neighbouring tokens that a score is averaged over; odd.
    pub kernel: usize,
}

impl Default for SnapKv {
    fn default() -> Self {
        Self { window: 64, kernel: 5 }
    }
}

impl PromptScorer for SnapKv {
    const NAME: &'static str = "snapkv";
    const SUMMARY: &'static str = "keeps what a prompt's last queries attend to, and neighbours";
    const SOURCE: &'static str = "SnapKV: Li et al. 2024, arXiv 2404.14469";
    const SETTINGS: &'static [Setting] = &[
        Setting { name: "window", unit: "tokens", about: "last queries that vote, and stay" },
        Setting { name: "kernel", unit: "tokens", about: "neighbours a score is averaged over" },
    ];

    fn check(&self) -> Result<(), String> {
        match (self.window, self.kernel % 2) {
            (0, _) => Err("window = 0: at least one query must vote".to_owned()),
            (_, 0) => Err(format!("kernel = {} has no middle: give an odd number", self.kernel)),
            _ => Ok(()),
        }
    }

    fn needs(&self) -> Needs {
        Needs { queries: self.window, ..Needs::default() }
    }

    fn floor(&self) -> usize {
        self.window
    }

    fn score(&self, prompt: &Prompt, _: &LayerGeometry) -> Result<Tensor<3>, PolicyError> {
        let received = prompt.attention_received(self.window)?;
        let [b, h, tokens] = received.dims();
        let before = tokens - self.window.min(tokens);
        let stays = Tensor::full([b, h, tokens - before], f32::INFINITY, &received.device());
        if before == 0 {
            return Ok(stays);
        }
        let edge = self.kernel / 2;
        let pooling = AvgPoolOptions {
            stride: [1],
            padding: [(edge, edge)],
            ..AvgPoolOptions::new([self.kernel])
        };
        let votes = received.narrow(2, 0, before) / self.window as f32;
        let pooled = avg_pool1d(votes, pooling);
        Ok(Tensor::cat(vec![pooled, stays], 2))
    }
}
