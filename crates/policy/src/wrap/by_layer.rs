//! Any policy for any layers, and for any key-value heads in them.
//!
//! Written `base[selector=policy;…]`, such as `k8v4[first 2=fp16;5.0=k8v8]`: everything is `base`
//! but what a selector names, and later rules win. Selectors are layers (`3`, `0-3`, `first 2`,
//! `last 2`, `*`), with `.heads` behind them for some key-value heads only.
//!
//! Sources of the idea: KVTuner (a pair of widths for each layer) and per-head budgets as in AdaKV.
//! Deviation: it assigns whole policies, not widths.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::spec::{PolicySpec, Rule};
use crate::{KvCachePolicy, PolicyError, Registry};
use crate::{Method, Setting};

/// The settings of `by-layer`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// The policy of everything that no rule names.
    pub policy: PolicySpec,
    /// What other layers and heads get; later rules win.
    pub rules: Vec<Rule>,
}

impl Method for Rules {
    const NAME: &'static str = "by-layer";
    const SUMMARY: &'static str = "any policies for any layers and key-value heads";
    const SOURCE: &'static str =
        "KVTuner: Li et al. 2025, arXiv 2502.04420; what `kvr search` writes";

    fn settings() -> Vec<Setting> {
        vec![
            Setting { name: "policy", unit: "policy", about: "what no rule names" },
            Setting {
                name: "rules",
                unit: "list of select, policy",
                about: "what others get; later rules win",
            },
        ]
    }

    fn short(&self) -> Option<PolicySpec> {
        Some(match self.rules.is_empty() {
            true => self.policy.clone(),
            false => PolicySpec::by_layer(self.policy.clone(), self.rules.clone()),
        })
    }

    fn policy(self, registry: &Registry) -> Result<Arc<dyn KvCachePolicy>, PolicyError> {
        registry.build(&PolicySpec::by_layer(self.policy, self.rules))
    }
}
