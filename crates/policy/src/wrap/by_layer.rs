//! Any policy for any layers, and for any key-value heads in them.
//!
//! Written `base[selector=policy;…]`, such as `k8v4[first 2=fp16;5.0=k8v8]`: everything is `base`
//! but what a selector names, and later rules win. Selectors are layers (`3`, `0-3`, `first 2`,
//! `last 2`, `*`), with `.heads` behind them for some key-value heads only.
//!
//! Sources of the idea: KVTuner (a pair of widths for each layer) and per-head budgets as in AdaKV.
//! Deviation: it assigns whole policies, not widths.

use std::sync::Arc;

use super::by_head::ByHead;
use super::selector::Selector;
use crate::{KvCachePolicy, LayerCache, LayerGeometry, PolicyError};

/// Looks up a policy by its name.
pub type Find<'a> = &'a dyn Fn(&str) -> Result<Arc<dyn KvCachePolicy>, PolicyError>;

/// One rule: what is selected, and its policy.
#[derive(Clone)]
struct Rule {
    selector: Selector,
    text: String,
    policy: Arc<dyn KvCachePolicy>,
}

/// A policy that differs between layers or key-value heads.
#[derive(Clone)]
pub struct ByLayer {
    name: String,
    base: Arc<dyn KvCachePolicy>,
    rules: Vec<Rule>,
}

impl ByLayer {
    /// Parses `base[selector=policy;…]`; `find` looks up the policies in it.
    ///
    /// # Errors
    /// When the notation is broken or `find` knows no such policy.
    pub fn parse(name: &str, find: Find<'_>) -> Result<Self, PolicyError> {
        let broken = |problem: String| PolicyError::Notation { name: name.to_owned(), problem };
        let inner =
            name.split_once('[').and_then(|(base, rest)| Some((base, rest.strip_suffix(']')?)));
        let Some((base, rules)) = inner else {
            return Err(broken("the bracket is not closed".to_owned()));
        };
        let rules = rules.split(';').map(|text| {
            let Some((selector, policy)) = text.split_once('=') else {
                return Err(broken(format!("the rule '{text}' has no '='")));
            };
            Ok(Rule {
                selector: selector.parse().map_err(&broken)?,
                text: selector.trim().to_owned(),
                policy: find(policy.trim())?,
            })
        });
        let rules = rules.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { name: name.to_owned(), base: find(base.trim())?, rules })
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

    fn layer(&self, layer: &LayerGeometry) -> Result<Box<dyn LayerCache>, PolicyError> {
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
            [whole] => whole[0].layer(layer),
            parts => ByHead::cache(layer, parts.iter().map(|part| (part[0].as_ref(), part.len()))),
        }
    }
}
