//! Eviction by score while tokens come, around any policy of per-token formats.
//!
//! Once the budget is full, the tokens of lowest score are evicted after each token, and their
//! memory is freed. Steps of any size are taken token by token, so a prompt reads and evicts just
//! as generation does: each head of each sequence has a cache of its own. A budget given as a share
//! is a share of the whole window or prompt, so nothing is evicted before that many tokens have
//! come.
//!
//! The papers evict once, after a prompt that attended in full, and mostly keep all generated
//! tokens; here the budget holds at every step. `--mode post-prefill` lets the prompt attend in
//! full.

use std::sync::Arc;

use burn::Tensor;
use kvr_kernels::attention::received;
use kvr_kernels::{CacheView, Context, Footprint, LayerGeometry, PartialAttention, Queries};
use serde::{Deserialize, Serialize};

use super::choice::best;
use super::per_head::{HeadCache, PerHead, host};
use crate::budget::Recent;
use crate::scorer::{Heads, Held, TokenScorer};
use crate::spec::PolicySpec;
use crate::{Budget, KvCachePolicy, LayerCache, PolicyError, Promise, Registry, Step};
use crate::{Method, Setting};

/// The settings of an evicting policy: those of all, and its scorer's own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, bound = "")]
pub struct Evict<S: TokenScorer> {
    /// The most tokens that a head holds.
    #[serde(flatten)]
    pub budget: Budget,
    /// First tokens that stay.
    pub sinks: usize,
    /// Newest tokens that stay, a number or a share of the budget.
    pub recent: Recent,
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
            budget: Budget::default(),
            sinks: defaults.sinks,
            recent: defaults.recent,
            heads: defaults.heads,
            policy: PolicySpec::name("fp16"),
            scorer: S::default(),
        }
    }
}

const SETTINGS: [Setting; 4] = [
    Setting { name: "sinks", unit: "tokens", about: "first tokens of the text, never dropped" },
    Setting {
        name: "recent",
        unit: "tokens, or share of the budget",
        about: "newest tokens, never dropped",
    },
    Setting { name: "heads", unit: "each or layer", about: "what heads decide together" },
    Setting { name: "policy", unit: "policy", about: "what stores the tokens kept" },
];

impl<S: TokenScorer> Method for Evict<S> {
    const NAME: &'static str = S::NAME;
    const SUMMARY: &'static str = S::SUMMARY;
    const SOURCE: &'static str = S::SOURCE;

    fn settings() -> Vec<Setting> {
        let common = Budget::SETTINGS.into_iter().chain(SETTINGS);
        common.chain(S::SETTINGS.iter().copied()).collect()
    }

    fn policy(self, registry: &Registry) -> Result<Arc<dyn KvCachePolicy>, PolicyError> {
        let wrong = |problem| PolicyError::Settings { policy: S::NAME.to_owned(), problem };
        let policy = registry.build(&self.policy)?;
        if let Some(tokens) = self.budget.check().map_err(wrong)?.tokens {
            self.held(Some(tokens))?;
        }
        Ok(Arc::new(Evicting { settings: self, policy }))
    }
}

impl<S: TokenScorer> Evict<S> {
    /// The tokens that a head holds of a text of `planned` tokens.
    fn held(&self, planned: Option<usize>) -> Result<usize, PolicyError> {
        let floor = |held: usize| self.sinks.saturating_add(self.recent.of(held));
        let held = self.budget.resolve(planned, 0, S::NAME)?;
        self.budget.resolve(planned, floor(held), S::NAME)
    }

    /// The indices that each head of one sequence keeps, ascending, when `seen` tokens have come.
    fn kept(&self, heads: &[Head<S>], budget: usize, seen: usize) -> Vec<Vec<usize>> {
        let newest = seen.saturating_sub(self.recent.of(budget));
        let stays = |at: u32| (at as usize) < self.sinks || at as usize >= newest;
        let scores = heads.iter().map(|head| {
            let rows = head.positions.iter().zip(head.state.chunks_exact(S::STATE));
            rows.map(|(p, row)| if stays(*p) { f32::INFINITY } else { row[0] }).collect()
        });
        let mut scores: Vec<Vec<f32>> = scores.collect();
        if self.heads == Heads::Layer {
            // Heads that decide together hold the same tokens.
            let count = scores.len() as f32;
            let mean = |i: usize| scores.iter().map(|head| head[i]).sum::<f32>() / count;
            let mean: Vec<f32> = (0..scores[0].len()).map(mean).collect();
            scores.fill(mean);
        }
        scores.iter().map(|scores| best(scores, budget)).collect()
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

    fn layer(
        &self,
        layer: &LayerGeometry,
        context: &Context,
    ) -> Result<Box<dyn LayerCache>, PolicyError> {
        let budget = self.settings.held(context.planned_tokens)?;
        let settings = Arc::new(self.settings.clone());
        let cache = PerHead::new(layer, |one| {
            let mut cache = self.policy.layer(one, context)?;
            // A cache that can't drop tokens fails here rather than once the budget is full.
            cache.keep(&[])?;
            let settings = settings.clone();
            Ok(Head { settings, budget, cache, positions: Vec::new(), state: Vec::new() })
        });
        Ok(Box::new(cache?))
    }

    fn promise(&self) -> Promise {
        let streaming_exact = self.policy.promise().streaming_exact;
        Promise {
            streaming_exact,
            append_only: false,
            budget: Some(self.settings.budget),
            ..Promise::default()
        }
    }
}

/// One head of one sequence.
struct Head<S: TokenScorer> {
    settings: Arc<Evict<S>>,
    budget: usize,
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
                host(received(&queries, &*self.cache.view(), &attended.log_sum_exp)?)?
            }
            _ => Vec::new(),
        };
        let (positions, attention) = (&self.positions[..], &attention[..]);
        let held = Held { positions, attention, key: &key, value: &value };
        self.settings.scorer.update(&held, &mut self.state);
        Ok(attended.map(|attended| attended.output))
    }

    fn enforce(heads: &mut [Self], seen: usize) -> Result<(), PolicyError> {
        let budget = heads[0].budget;
        if heads[0].positions.len() <= budget {
            return Ok(());
        }
        let kept = heads[0].settings.kept(heads, budget, seen);
        heads.iter_mut().zip(kept).try_for_each(|(head, kept)| head.keep(&kept))
    }

    fn attend(&self, queries: &Queries) -> Result<PartialAttention, PolicyError> {
        self.cache.attend(queries)
    }

    /// Attention that a scorer observes is computed from unpacked keys.
    fn fused(&self) -> bool {
        self.cache.fused() && !S::NEEDS_ATTENTION
    }

    fn observes(&self) -> bool {
        S::NEEDS_ATTENTION
    }

    fn view(&self) -> Box<dyn CacheView + '_> {
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
