//! What an experiment is asked for.

use std::path::Path;
use std::sync::Arc;

use kvr_policy::KvCachePolicy;
use serde::{Deserialize, Serialize};

use crate::run::modes::Mode;
use crate::run::protocols;
use crate::run::runner::Reference;

/// The default distance between windows of the strided protocol.
pub const DEFAULT_STRIDE: usize = 512;

/// The settings of an experiment, as sweeps write them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Name of the protocol.
    pub protocol: String,
    /// How the cache is read while scoring.
    pub mode: String,
    /// Tokens in a window; the protocol's own where absent.
    pub ctx: Option<usize>,
    /// Tokens between windows, where the protocol has a choice.
    pub stride: Option<usize>,
    /// Where the answer hides, in percent.
    pub depth: Option<f64>,
    /// At most this many windows, articles or samples.
    pub chunks: Option<usize>,
    /// Tokens appended in one step.
    pub batch: usize,
    /// Seed of synthetic texts.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            protocol: protocols::ALL[0].name().to_owned(),
            mode: Mode::default().name().to_owned(),
            ctx: None,
            stride: None,
            depth: None,
            chunks: None,
            batch: 512,
            seed: 0,
        }
    }
}

/// The policies of one experiment.
pub struct Lineup<'a> {
    /// The policies, the baseline first where it is evaluated here.
    pub policies: &'a [Arc<dyn KvCachePolicy>],
    /// What they are compared with.
    pub reference: Reference<'a>,
    /// Where the first policy's hidden states go.
    pub save: Option<&'a Path>,
}
