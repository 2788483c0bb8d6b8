//! Eviction by score, around any policy of per-token formats.
//!
//! After each token, the tokens of lowest score leave until the budget holds, and their bytes are
//! given back. Steps are taken token by token whatever their size, so a prompt reads and evicts
//! just as generation does: each head of each sequence has a cache of its own. `heads = "adaptive"`
//! is AdaKV (Feng et al. 2024): the budget of all heads goes to the highest scores of the layer,
//! and every head keeps at least a fifth of its own (AdaKV's safeguard).
//!
//! Deviation: the papers evict once, after a prompt that attended in full, and mostly let generated
//! tokens pile up; here the budget holds at every step. `--mode post-prefill` lets the prompt attend
//! in full.

mod choice;

use std::sync::Arc;

use burn::Tensor;
use serde::{Deserialize, Serialize};

use crate::kernels::attend::reference::received;
use crate::method::{Method, Setting};
use crate::scorer::{Heads, Held, TokenScorer};
use crate::spec::PolicySpec;
use crate::wrap::per_head::{HeadCache, PerHead, host};
use crate::{
    Attended, Budget, CacheView, Footprint, KvCachePolicy, LayerCache, LayerGeometry, PolicyError,
    Promise, Queries, Registry, Step,
};

/// The settings of an evicting policy: those of all, and its scorer's own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, bound = "")]
pub struct Evict<S: TokenScorer> {
    /// The most tokens that a head holds.
    pub budget: Budget,
    /// First tokens that stay.
    pub sinks: usize,
    /// Newest tokens that stay, a number or a share of the budget.
    pub recent: Budget,
    /// What heads decide together.
    pub heads: Heads,
    /// The policy of what is kept.
    pub policy: PolicySpec,
    /// The scorer's own settings.
    #[serde(flatten)]
    pub scorer: S,
}

impl<S: TokenScorer> Default for Evict<S> {
    fn default() -> Self {
        let defaults = S::defaults();
        Self {
            budget: Budget::Share(0.5),
            sinks: defaults.sinks,
            recent: defaults.recent,
            heads: defaults.heads,
            policy: PolicySpec::name("fp16"),
            scorer: S::default(),
        }
    }
}

const SETTINGS: [Setting; 5] = [
    Setting {
        name: "budget",
        unit: "tokens, or share of those seen",
        about: "most tokens a head holds",
    },
    Setting { name: "sinks", unit: "tokens", about: "first tokens of the text, never dropped" },
    Setting {
        name: "recent",
        unit: "tokens, or share of the budget",
        about: "newest tokens, never dropped",
    },
    Setting { name: "heads", unit: "each, layer or adaptive", about: "what heads decide together" },
    Setting { name: "policy", unit: "policy", about: "what stores the tokens kept" },
];

impl<S: TokenScorer> Method for Evict<S> {
    const NAME: &'static str = S::NAME;
    const SUMMARY: &'static str = S::SUMMARY;
    const SOURCE: &'static str = S::SOURCE;

    fn settings() -> Vec<Setting> {
        SETTINGS.iter().chain(S::SETTINGS).copied().collect()
    }

    fn policy(self, registry: &Registry) -> Result<Arc<dyn KvCachePolicy>, PolicyError> {
        let policy = registry.build(&self.policy)?;
        if let (Budget::Tokens(budget), Budget::Tokens(recent)) = (self.budget, self.recent)
            && self.sinks + recent > budget
        {
            return Err(PolicyError::Settings {
                policy: S::NAME.to_owned(),
                problem: format!(
                    "sinks {} and recent {recent} are more than the budget of {budget}",
                    self.sinks
                ),
            });
        }
        Ok(Arc::new(Evicting { settings: self, policy }))
    }
}

struct Evicting<S: TokenScorer> {
    settings: Evict<S>,
    policy: Arc<dyn KvCachePolicy>,
}

impl<S: TokenScorer> KvCachePolicy for Evicting<S> {
    fn name(&self) -> String {
        S::NAME.to_owned()
    }

    fn layer(&self, layer: &LayerGeometry) -> Result<Box<dyn LayerCache>, PolicyError> {
        let settings = Arc::new(self.settings.clone());
        let cache = PerHead::new(layer, |one| {
            let mut cache = self.policy.layer(one)?;
            // Better now than after the budget has filled up.
            cache.keep(&[])?;
            let settings = settings.clone();
            Ok(Head { settings, cache, positions: Vec::new(), state: Vec::new() })
        });
        Ok(Box::new(cache?))
    }

    fn promise(&self) -> Promise {
        let streaming_exact = self.policy.promise().streaming_exact;
        Promise { streaming_exact, settled: false, budget: Some(self.settings.budget) }
    }
}

/// One head of one sequence.
struct Head<S: TokenScorer> {
    settings: Arc<Evict<S>>,
    cache: Box<dyn LayerCache>,
    positions: Vec<u32>,
    /// `[S_held][STATE]`
    state: Vec<f32>,
}

impl<S: TokenScorer> Head<S> {
    fn keep(&mut self, kept: &[usize]) -> Result<(), PolicyError> {
        if kept.len() == self.positions.len() {
            return Ok(());
        }
        self.cache.keep(kept)?;
        self.positions = kept.iter().map(|i| self.positions[*i]).collect();
        let rows = kept.iter().flat_map(|i| &self.state[i * S::STATE..][..S::STATE]);
        self.state = rows.copied().collect();
        Ok(())
    }
}

impl<S: TokenScorer> HeadCache for Head<S> {
    fn take(&mut self, token: Step, attend: bool) -> Result<Option<Tensor<4>>, PolicyError> {
        let position = token.new.position;
        let row = |rows: &Tensor<4>| match S::NEEDS_ROWS {
            true => host(rows.clone()),
            false => Ok(Vec::new()),
        };
        let (key, value) = (row(&token.new.keys)?, row(&token.new.values)?);
        let (new, queries) = token.at(self.positions.len()).causal();
        self.cache.append(new)?;
        self.positions.push(position as u32);
        self.state.extend(std::iter::repeat_n(0.0, S::STATE));
        let attended = if attend { Some(self.cache.attend(&queries)?) } else { None };
        let attention = match &attended {
            Some(attended) if S::NEEDS_ATTENTION => {
                host(received(&queries, self.cache.view(), &attended.log_sum)?)?
            }
            _ => Vec::new(),
        };
        let (positions, attention) = (&self.positions[..], &attention[..]);
        let held = Held { positions, attention, key: &key, value: &value };
        self.settings.scorer.update(&held, &mut self.state);
        Ok(attended.map(|attended| attended.output))
    }

    fn settle(heads: &mut [Self], seen: usize) -> Result<(), PolicyError> {
        let held: Vec<_> = heads.iter().map(|h| (&h.positions[..], &h.state[..])).collect();
        let kept = choice::kept(&heads[0].settings, &held, seen);
        heads.iter_mut().zip(kept).try_for_each(|(head, kept)| head.keep(&kept))
    }

    fn attend(&self, queries: &Queries) -> Result<Attended, PolicyError> {
        self.cache.attend(queries)
    }

    /// Attention that a scorer observes is computed from unpacked keys.
    fn fused(&self) -> bool {
        self.cache.fused() && !S::NEEDS_ATTENTION
    }

    fn view(&self) -> &dyn CacheView {
        self.cache.view()
    }

    fn positions(&self) -> Vec<usize> {
        self.positions.iter().map(|position| *position as usize).collect()
    }

    fn footprint(&self) -> Footprint {
        let own = Footprint {
            bookkeeping: 4 * (self.positions.len() + self.state.len()) as u64,
            allocated: 4 * (self.positions.capacity() + self.state.capacity()) as u64,
            ..Footprint::default()
        };
        self.cache.footprint() + own
    }

    fn reset(&mut self) {
        self.cache.reset();
        self.positions = Vec::new();
        self.state = Vec::new();
    }
}
