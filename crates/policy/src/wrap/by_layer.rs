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

use super::by_head::ByHead;
use crate::method::{Method, Setting};
use crate::spec::{PolicySpec, Rule, Selector};
use crate::{KvCachePolicy, LayerCache, LayerGeometry, PolicyError, Promise, Registry};

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

/// A policy that differs between layers or key-value heads.
#[derive(Clone)]
pub struct ByLayer {
    name: String,
    base: Arc<dyn KvCachePolicy>,
    rules: Vec<(Selector, Arc<dyn KvCachePolicy>)>,
}

impl ByLayer {
    /// `base`, and other policies for what selectors mean; later rules win.
    pub fn new(
        name: impl Into<String>,
        base: Arc<dyn KvCachePolicy>,
        rules: Vec<(Selector, Arc<dyn KvCachePolicy>)>,
    ) -> Self {
        Self { name: name.into(), base, rules }
    }

    fn check(&self, layer: &LayerGeometry) -> Result<(), PolicyError> {
        for (selector, _) in &self.rules {
            let Selector { layers, heads } = selector;
            let counts = [
                ("layers", layers.needs(), layer.layers),
                ("heads", heads.needs(), layer.kv_heads),
            ];
            for (what, needs, has) in counts {
                if needs > has {
                    return Err(PolicyError::Settings {
                        policy: self.name.clone(),
                        problem: format!(
                            "the rule '{selector}' needs {needs} {what}, and the model has {has}: \
                             {what} are counted from 0"
                        ),
                    });
                }
            }
        }
        Ok(())
    }
}

impl KvCachePolicy for ByLayer {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn promise(&self) -> Promise {
        let parts = self.rules.iter().map(|(_, policy)| policy).chain([&self.base]);
        let promises: Vec<Promise> = parts.map(|policy| policy.promise()).collect();
        let budget = promises[0].budget;
        Promise {
            streaming_exact: promises.iter().all(|p| p.streaming_exact),
            settled: promises.iter().all(|p| p.settled),
            // Where parts differ there is no one number.
            budget: budget.filter(|budget| promises.iter().all(|p| p.budget == Some(*budget))),
        }
    }

    fn layer(&self, layer: &LayerGeometry) -> Result<Box<dyn LayerCache>, PolicyError> {
        self.check(layer)?;
        let of_head = |head: usize| {
            let selects = |(Selector { layers, heads }, _): &&(Selector, _)| {
                layers.contains(layer.layer, layer.layers) && heads.contains(head, layer.kv_heads)
            };
            self.rules.iter().rev().find(selects).map_or(&self.base, |(_, policy)| policy)
        };
        let heads: Vec<_> = (0..layer.kv_heads).map(of_head).collect();
        // Neighbours with one policy share a cache; mostly that is the whole layer.
        let runs: Vec<_> = heads.chunk_by(|a, b| Arc::ptr_eq(a, b)).collect();
        match runs.as_slice() {
            [whole] => whole[0].layer(layer),
            parts => ByHead::cache(layer, parts.iter().map(|part| (part[0].as_ref(), part.len()))),
        }
    }
}
