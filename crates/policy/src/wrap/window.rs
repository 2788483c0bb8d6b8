//! The first tokens and the newest in full precision, the others under another policy.
//!
//! Sources: attention sinks (StreamingLLM, Xiao et al. 2023), full-precision windows of KVQuant,
//! SKVQ and Hugging Face's quantised cache (`residual_length`). With `block` above 1, tokens leave
//! the window a block at a time, as per-channel policies need (KIVI).
//!
//! Deviation: exact in prefill as well. Each query of a step reads exactly those tokens in full
//! precision that it would in generation; the programs named quantise after the prompt.

use std::ops::Range;
use std::sync::Arc;

use burn::Tensor;
use kvr_kernels::{
    Append, CacheView, Chain, Context, Footprint, KernelError, LayerGeometry, PackedCache,
    PartialAttention, Queries, Side, rows,
};
use serde::{Deserialize, Serialize};

use crate::spec::PolicySpec;
use crate::{KvCachePolicy, LayerCache, PolicyError, Promise, Registry, Step};
use crate::{Method, Setting};

/// The settings of a window.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Window {
    /// Tokens at the beginning that stay in full precision.
    pub sinks: usize,
    /// Newest tokens that are in full precision.
    pub recent: usize,
    /// Tokens that leave the window together.
    pub block: usize,
    /// The format of the window.
    pub full: String,
    /// The policy of all other tokens.
    pub policy: PolicySpec,
}

impl Default for Window {
    fn default() -> Self {
        let policy = PolicySpec::default();
        Self { sinks: 4, recent: 64, block: 1, full: "f16".to_owned(), policy }
    }
}

impl Method for Window {
    const NAME: &'static str = "window";
    const SUMMARY: &'static str = "first and newest tokens in full precision around a policy";
    const SOURCE: &'static str = "attention sinks: Xiao et al. 2023, arXiv 2309.17453; residual: \
                                HF transformers `QuantizedCache`";

    fn settings() -> Vec<Setting> {
        vec![
            Setting {
                name: "sinks",
                unit: "tokens",
                about: "tokens at the beginning in full precision",
            },
            Setting { name: "recent", unit: "tokens", about: "newest tokens in full precision" },
            Setting { name: "block", unit: "tokens", about: "how many leave the window together" },
            Setting { name: "full", unit: "format", about: "format of full precision" },
            Setting { name: "policy", unit: "policy", about: "what keeps the tokens between" },
        ]
    }

    fn policy(self, registry: &Registry) -> Result<Arc<dyn KvCachePolicy>, PolicyError> {
        let policy = registry.build(&self.policy)?;
        let problem = match () {
            () if self.block == 0 => "block = 0: at least 1 token leaves at a time",
            () if self.recent == 0 && self.block > 1 => {
                "recent = 0 with a block: the newest token must wait for its block in the window"
            }
            () if !policy.promise().append_only => {
                "the policy inside has a window or evicts: put the window inside it instead, \
                 as in h2o(policy=window(…))"
            }
            () => "",
        };
        if !problem.is_empty() {
            return Err(PolicyError::Settings {
                policy: Self::NAME.to_owned(),
                problem: problem.to_owned(),
            });
        }
        let full = Side::per_token(registry.format(&self.full)?);
        Ok(Arc::new(Windowed { bounds: Bounds::of(&self), full, policy }))
    }
}

/// Which tokens are outside the window.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    sinks: usize,
    recent: usize,
    block: usize,
}

impl Bounds {
    fn of(window: &Window) -> Self {
        Self { sinks: window.sinks, recent: window.recent, block: window.block }
    }

    /// Tokens behind the sinks that have left the window when `seen` tokens have come.
    fn left(&self, seen: usize) -> usize {
        seen.saturating_sub(self.sinks + self.recent) / self.block * self.block
    }
}

/// A policy with a window around it.
pub struct Windowed {
    bounds: Bounds,
    full: Side,
    policy: Arc<dyn KvCachePolicy>,
}

impl Windowed {
    /// Tokens leave a window of `recent` in blocks of `block` for `policy`.
    pub fn new(
        (recent, block): (usize, usize),
        full: Side,
        policy: Arc<dyn KvCachePolicy>,
    ) -> Self {
        Self { bounds: Bounds { sinks: 0, recent, block }, full, policy }
    }
}

impl KvCachePolicy for Windowed {
    fn name(&self) -> String {
        Window::NAME.to_owned()
    }

    fn layer(
        &self,
        layer: &LayerGeometry,
        context: &Context,
    ) -> Result<Box<dyn LayerCache>, PolicyError> {
        let full = || PackedCache::new(layer, context, self.full.clone(), self.full.clone());
        Ok(Box::new(Cache {
            bounds: self.bounds,
            sinks: full()?,
            inner: self.policy.layer(layer, context)?,
            recent: full()?,
        }))
    }

    fn promise(&self) -> Promise {
        Promise { append_only: false, ..self.policy.promise() }
    }
}

struct Cache {
    bounds: Bounds,
    sinks: PackedCache,
    inner: Box<dyn LayerCache>,
    recent: PackedCache,
}

impl Cache {
    fn chain(&self) -> Chain<'_, 3> {
        let (sinks, recent) = (Box::new(self.sinks.view()), Box::new(self.recent.view()));
        Chain([sinks, self.inner.view(), recent])
    }

    /// Stores new tokens; the window keeps those that leave it until [`shrink`](Self::shrink).
    fn take(&mut self, new: &Append) -> Result<(), PolicyError> {
        new.check(self.geometry())?;
        let seen = self.chain().tokens();
        if new.position != seen {
            return Err(KernelError::Position { expected: seen, got: new.position }.into());
        }
        let total = new.tokens();
        let sinks = self.bounds.sinks.saturating_sub(seen).min(total);
        if sinks > 0 {
            self.sinks.append(new.part(0..sinks, seen))?;
        }
        if sinks < total {
            self.recent.append(new.part(sinks..total, self.recent.view().tokens()))?;
        }
        let (held, leaving) = (self.inner.view().tokens(), self.leaving());
        if leaving > 0 {
            let (keys, values) = rows(self.recent.view(), 0..leaving)?;
            self.inner.append(Append { keys, values, position: held })?;
        }
        Ok(())
    }

    /// Tokens of the window that have left it but are still there.
    fn leaving(&self) -> usize {
        let behind_sinks = self.inner.view().tokens() + self.recent.view().tokens();
        let seen = self.sinks.view().tokens() + behind_sinks;
        self.bounds.left(seen).saturating_sub(self.inner.view().tokens())
    }

    /// Forgets the oldest `left` tokens of the window.
    fn shrink(&mut self, left: usize) -> Result<(), PolicyError> {
        if left == 0 {
            return Ok(());
        }
        let kept: Vec<usize> = (left..self.recent.view().tokens()).collect();
        Ok(self.recent.keep(&kept)?)
    }
}

impl LayerCache for Cache {
    fn geometry(&self) -> &LayerGeometry {
        self.inner.geometry()
    }

    fn append(&mut self, new: Append) -> Result<(), PolicyError> {
        let before = self.inner.view().tokens();
        self.take(&new)?;
        let left = self.inner.view().tokens() - before;
        self.shrink(left)
    }

    fn view(&self) -> Box<dyn CacheView + '_> {
        Box::new(self.chain())
    }

    fn footprint(&self) -> Footprint {
        let full = self.sinks.footprint() + self.recent.footprint();
        let Footprint { allocated, .. } = full;
        let full = Footprint { full_precision: full.held(), allocated, ..Footprint::default() };
        self.inner.footprint() + full
    }

    fn reset(&mut self) {
        self.sinks.reset();
        self.inner.reset();
        self.recent.reset();
    }

    fn attend(&self, queries: &Queries) -> Result<PartialAttention, PolicyError> {
        let (sinks, inner) = (self.sinks.view().tokens(), self.inner.view().tokens());
        let all = self.chain().tokens();
        let mut attended = self.recent.attend(&queries.within(sinks + inner..all))?;
        if sinks > 0 {
            attended = attended.merge(self.sinks.attend(&queries.within(0..sinks))?);
        }
        if inner > 0 {
            attended = attended.merge(self.inner.attend(&queries.within(sinks..sinks + inner))?);
        }
        Ok(attended)
    }

    fn fused(&self) -> bool {
        self.inner.fused()
    }

    fn step(&mut self, step: Step) -> Result<Tensor<4>, PolicyError> {
        step.check(self.geometry())?;
        let (before, first) = (self.inner.view().tokens(), step.new.position);
        self.take(&step.new)?;
        let (_, queries) = step.causal();
        let Bounds { sinks, .. } = self.bounds;
        // What the query of each token reads: of the sinks, of those that had left, of the window.
        let read = |part: &dyn Fn(usize, usize) -> Range<usize>| {
            let seen = (1..=queries.visible.len()).map(|i| first + i);
            queries.over(seen.map(|seen| part(seen, self.bounds.left(seen))).collect())
        };
        let mut attended = self
            .recent
            .attend(&read(&|seen, left| left - before..seen.saturating_sub(sinks + before)))?;
        if sinks > 0 {
            attended = attended.merge(self.sinks.attend(&read(&|seen, _| 0..seen.min(sinks)))?);
        }
        let now = self.inner.view().tokens();
        if now > 0 {
            attended = attended.merge(self.inner.attend(&read(&|_, left| 0..left))?);
        }
        self.shrink(now - before)?;
        Ok(attended.output)
    }
}
