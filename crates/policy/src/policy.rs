//! The plug point: a policy makes the cache of a layer.

use std::sync::Arc;

use kvr_kernels::{Context, LayerGeometry};

use crate::scorer::ScorePrompt;
use crate::{Budget, LayerCache, PolicyError};

/// A recipe: makes the cache of one layer.
pub trait KvCachePolicy: Send + Sync {
    /// The name that `--policy` takes and that records carry, such as `k8v4`.
    fn name(&self) -> String;

    /// What the name stands for, with all settings, as it goes into records: `q8_0:q4_0`. Two
    /// policies are the same if these are.
    fn config(&self) -> String {
        self.name()
    }

    /// Makes the empty cache of one layer.
    ///
    /// # Errors
    /// When the policy can't serve this geometry, such as a block that does not divide head_dim.
    fn layer(
        &self,
        layer: &LayerGeometry,
        context: &Context,
    ) -> Result<Box<dyn LayerCache>, PolicyError>;

    /// The parts of a policy that compresses prompts by scores, for methods around it.
    fn compression(&self) -> Option<Compression> {
        None
    }

    /// The policy that this one wraps, whose promises it makes by default.
    fn inner(&self) -> Option<&dyn KvCachePolicy> {
        None
    }

    /// What the policy promises; [`testkit`](crate::testkit) holds it to it.
    fn promise(&self) -> Promise {
        self.inner().map_or_else(Promise::default, |inner| inner.promise())
    }
}

/// What a policy promises about all of its caches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Promise {
    /// Steps of any size give the same outputs as token by token. A policy that does not promise
    /// this gets a warning in its records, because its numbers depend on the size of the steps.
    pub streaming_exact: bool,
    /// A token reads the same from its append until it is dropped: nothing is packed again later,
    /// as in windows. Policies that read a cache several times within a step need this.
    pub append_only: bool,
    /// It drops tokens when a prompt is complete, and never if it is told of no end.
    pub compresses_prompts: bool,
    /// The most tokens that a head holds after a step, on average over the heads of a layer.
    pub budget: Option<Budget>,
}

impl Default for Promise {
    fn default() -> Self {
        Self { streaming_exact: true, append_only: true, compresses_prompts: false, budget: None }
    }
}

/// How the budget of a layer is divided among its heads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HeadBudgets {
    /// Every head keeps as many tokens.
    Even,
    /// Every head keeps this share of its own budget, and the best over all heads get the rest.
    Adaptive(f64),
}

/// A policy that compresses prompts, in parts that a policy around it can change.
#[derive(Clone)]
pub struct Compression {
    /// The name that errors say.
    pub name: &'static str,
    /// What makes the scores.
    pub scorer: Arc<dyn ScorePrompt>,
    /// Tokens that a head holds of a prompt.
    pub budget: Budget,
    /// How they are divided among heads.
    pub heads: HeadBudgets,
    /// What stores them, and all that follows.
    pub storage: Arc<dyn KvCachePolicy>,
}
