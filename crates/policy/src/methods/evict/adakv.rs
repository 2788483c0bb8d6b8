//! AdaKV (Feng et al. 2024, arXiv 2407.11550): heads whose scores are high keep more tokens.
//!
//! The budget of a layer goes to the best scores over all its heads, after each head has kept the
//! best `safeguard` share of its own. Scores, budget and storage are those of the method inside, as
//! in kvpress's `AdaKVPress`, which masks dropped tokens; here they are freed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::policy::{Compression, HeadBudgets};
use crate::spec::PolicySpec;
use crate::{KvCachePolicy, PolicyError, Registry};
use crate::{Method, Setting};

/// The settings of AdaKV.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct AdaKv {
    /// The method that scores the prompt.
    pub policy: PolicySpec,
    /// The share of its own budget that a head keeps at least.
    pub safeguard: f64,
}

impl Default for AdaKv {
    fn default() -> Self {
        Self { policy: PolicySpec::name("snapkv"), safeguard: 0.2 }
    }
}

impl Method for AdaKv {
    const NAME: &'static str = "adakv";
    const SUMMARY: &'static str = "heads with high scores keep more tokens of a prompt";
    const SOURCE: &'static str = "AdaKV: Feng et al. 2024, arXiv 2407.11550";

    fn settings() -> Vec<Setting> {
        vec![
            Setting { name: "policy", unit: "policy", about: "the method that scores the prompt" },
            Setting {
                name: "safeguard",
                unit: "share",
                about: "of its own budget that a head keeps at least",
            },
        ]
    }

    fn policy(self, registry: &Registry) -> Result<Arc<dyn KvCachePolicy>, PolicyError> {
        let wrong = |problem| PolicyError::Settings { policy: Self::NAME.to_owned(), problem };
        if !(0.0..=1.0).contains(&self.safeguard) {
            return Err(wrong(format!("safeguard = {} is no share: give 0 to 1", self.safeguard)));
        }
        let inner = registry.build(&self.policy)?;
        let compression = inner.compression().ok_or_else(|| {
            wrong(format!(
                "{} gives a prompt's tokens no scores: name a method that does, such as snapkv",
                inner.name()
            ))
        })?;
        let heads = HeadBudgets::Adaptive(self.safeguard);
        Ok(Arc::new(Compression { name: Self::NAME, heads, ..compression }))
    }
}
