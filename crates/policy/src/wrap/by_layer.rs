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
use super::selector::Selector;
use crate::method::{Method, Nested, Setting};
use crate::{
    Context, KvCachePolicy, LayerCache, LayerGeometry, PolicyError, Promise, Registry, notation,
};

/// The settings of `by-layer`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// The policy of everything that no rule names.
    pub policy: Nested,
    /// What other layers and heads get; later rules win.
    pub rules: Vec<RuleOf>,
}

/// One rule as a setting.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleOf {
    /// `3`, `0-3`, `first 2`, `last 2`, `*`, with `.heads` behind it for some key-value heads.
    pub select: String,
    /// Their policy.
    pub policy: Nested,
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

    fn policy(self, registry: &Registry) -> Result<Arc<dyn KvCachePolicy>, PolicyError> {
        let rules = self
            .rules
            .into_iter()
            .map(|rule| Rule::new(Self::NAME, &rule.select, rule.policy.policy(registry)?));
        let rules = rules.collect::<Result<_, PolicyError>>()?;
        let base = self.policy.policy(registry)?;
        Ok(Arc::new(ByLayer { name: Self::NAME.to_owned(), base, rules }))
    }
}

/// One rule: what is selected, and its policy.
#[derive(Clone)]
struct Rule {
    selector: Selector,
    text: String,
    policy: Arc<dyn KvCachePolicy>,
}

impl Rule {
    fn new(
        name: &str,
        selector: &str,
        policy: Arc<dyn KvCachePolicy>,
    ) -> Result<Self, PolicyError> {
        let broken = |problem| PolicyError::Notation { name: name.to_owned(), problem };
        let text = selector.trim().to_owned();
        Ok(Self { selector: text.parse().map_err(broken)?, text, policy })
    }
}

/// Where the bracket opens that the last letter closes: the base may have brackets of its own.
fn opening(name: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, letter) in name.char_indices().rev() {
        match letter {
            ']' | ')' => depth += 1,
            '[' | '(' => depth -= 1,
            _ => {}
        }
        if depth == 0 && letter == '[' {
            return Some(at);
        }
        if depth == 0 && at == name.len() - 1 {
            break;
        }
    }
    name.find('[')
}

/// A policy that differs between layers or key-value heads.
#[derive(Clone)]
pub struct ByLayer {
    name: String,
    base: Arc<dyn KvCachePolicy>,
    rules: Vec<Rule>,
}

impl ByLayer {
    /// Parses `base[selector=policy;…]`, with policies that `registry` knows.
    ///
    /// # Errors
    /// When the notation is broken or there is no such policy.
    pub fn parse(name: &str, registry: &Registry) -> Result<Self, PolicyError> {
        let broken = |problem: String| PolicyError::Notation { name: name.to_owned(), problem };
        let inner =
            opening(name).and_then(|at| Some((&name[..at], name[at + 1..].strip_suffix(']')?)));
        let Some((base, rules)) = inner else {
            return Err(broken("the bracket is not closed".to_owned()));
        };
        let rules = notation::split(rules).map_err(broken)?.into_iter().map(|text| {
            let Some((selector, policy)) = text.split_once('=') else {
                return Err(broken(format!("the rule '{text}' has no '='")));
            };
            Rule::new(name, selector, registry.policy(policy.trim())?)
        });
        let rules = rules.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { name: name.to_owned(), base: registry.policy(base.trim())?, rules })
    }

    fn check(&self, layer: &LayerGeometry) -> Result<(), PolicyError> {
        for rule in &self.rules {
            let Selector { layers, heads } = &rule.selector;
            let counts = [
                ("layers", layers.needs(), layer.layers),
                ("heads", heads.needs(), layer.kv_heads),
            ];
            for (what, needs, has) in counts {
                if needs > has {
                    return Err(PolicyError::Notation {
                        name: self.name.clone(),
                        problem: format!(
                            "the rule '{}' needs {needs} {what}, and the model has {has}",
                            rule.text
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

    fn config(&self) -> String {
        let rules = self.rules.iter().map(|r| format!("{}: {}", r.text, r.policy.config()));
        format!("{}; {}", self.base.config(), rules.collect::<Vec<_>>().join("; "))
    }

    fn promise(&self) -> Promise {
        let parts = self.rules.iter().map(|rule| &rule.policy).chain([&self.base]);
        let promises: Vec<Promise> = parts.map(|policy| policy.promise()).collect();
        let budget = promises[0].budget;
        Promise {
            streaming_exact: promises.iter().all(|p| p.streaming_exact),
            append_only: promises.iter().all(|p| p.append_only),
            compresses_prompts: promises.iter().any(|p| p.compresses_prompts),
            // Where parts differ there is no one number.
            budget: budget.filter(|budget| promises.iter().all(|p| p.budget == Some(*budget))),
        }
    }

    fn layer(
        &self,
        layer: &LayerGeometry,
        context: &Context,
    ) -> Result<Box<dyn LayerCache>, PolicyError> {
        self.check(layer)?;
        let of_head = |head: usize| {
            let selects = |rule: &&Rule| {
                rule.selector.layers.contains(layer.layer, layer.layers)
                    && rule.selector.heads.contains(head, layer.kv_heads)
            };
            self.rules.iter().rev().find(selects).map_or(&self.base, |rule| &rule.policy)
        };
        let heads: Vec<_> = (0..layer.kv_heads).map(of_head).collect();
        // Neighbours with one policy share a cache; mostly that is the whole layer.
        let runs: Vec<_> = heads.chunk_by(|a, b| Arc::ptr_eq(a, b)).collect();
        match runs.as_slice() {
            [whole] => whole[0].layer(layer, context),
            parts => ByHead::cache(
                layer,
                context,
                parts.iter().map(|part| (part[0].as_ref(), part.len())),
            ),
        }
    }
}
