//! A policy for some layers and key-value heads, another for others.

use std::sync::Arc;

use kvr_kernels::{Context, LayerGeometry};

use super::by_head::ByHead;
use crate::spec::Selector;
use crate::{KvCachePolicy, LayerCache, PolicyError, Promise};

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
            let selects = |(Selector { layers, heads }, _): &&(Selector, _)| {
                layers.contains(layer.layer, layer.layers) && heads.contains(head, layer.kv_heads)
            };
            self.rules.iter().rev().find(selects).map_or(&self.base, |(_, policy)| policy)
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
