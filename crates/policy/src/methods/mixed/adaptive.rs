//! Adaptive precision: each token of each head is kept in high precision, in low, or dropped.
//!
//! Sources: LeanKV (Zhang et al. 2024, arXiv 2412.03131), which keeps tokens with 8-bit keys and
//! 4-bit values, with 4-bit keys and 2-bit values, or not at all, by the attention that they
//! receive; and KVSplit's road map ("dynamic precision based on token importance"). A new token is
//! stored in high precision. While the bytes of a head exceed its budget, the cheapest loss per
//! byte is taken: a token is demoted from high to low precision, or one of low precision is
//! dropped. A token's score is the attention that it receives, an exponential moving average with a
//! half-life of `half_life` queries; demoting it loses the share `demotion_loss` of its score,
//! dropping it all.
//!
//! Deviations: LeanKV compares scores with thresholds calibrated for each model; here a budget of
//! bytes decides, positions and scores included, which is a share of the whole window or prompt and
//! holds after every token. LeanKV sizes budgets per head over a request; here all heads have the
//! same.

use std::sync::Arc;

use burn::Tensor;
use kvr_kernels::attention::received;
use kvr_kernels::{
    Append, CacheView, Chain, Context, Footprint, LayerGeometry, PartialAttention, Queries, rows,
};
use serde::{Deserialize, Serialize};

use crate::evict::{HeadCache, PerHead, host};
use crate::spec::PolicySpec;
use crate::{KvCachePolicy, LayerCache, PolicyError, Promise, Registry, Step};
use crate::{Method, Setting};

/// The settings of adaptive precision.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Adaptive {
    /// Bits that a value of the planned text may cost on average.
    pub budget: f64,
    /// The first tokens, which stay in high precision.
    pub sinks: usize,
    /// The newest tokens, which stay in high precision.
    pub recent: usize,
    /// Queries after which received attention counts half.
    pub half_life: f32,
    /// The share of a token's score that low precision loses.
    pub demotion_loss: f32,
    /// High precision.
    pub high: PolicySpec,
    /// Low precision.
    pub low: PolicySpec,
}

impl Default for Adaptive {
    fn default() -> Self {
        Self {
            budget: 4.5,
            sinks: 1,
            recent: 16,
            half_life: 64.0,
            demotion_loss: 0.05,
            high: PolicySpec::name("k8v4"),
            low: PolicySpec::pair("q4_0", "a2g32"),
        }
    }
}

impl Method for Adaptive {
    const NAME: &'static str = "adaptive";
    const SUMMARY: &'static str = "high precision, low, or dropped, by attention received";
    const SOURCE: &'static str = "LeanKV: Zhang et al. 2024, arXiv 2412.03131";

    fn settings() -> Vec<Setting> {
        vec![
            Setting {
                name: "budget",
                unit: "bits per value",
                about: "of the prompt or window, bookkeeping included",
            },
            Setting {
                name: "sinks",
                unit: "tokens",
                about: "first tokens of the text, never demoted",
            },
            Setting { name: "recent", unit: "tokens", about: "newest tokens, never demoted" },
            Setting {
                name: "half_life",
                unit: "queries",
                about: "after which received attention counts half",
            },
            Setting {
                name: "demotion_loss",
                unit: "share",
                about: "of a token's score that low precision loses",
            },
            Setting { name: "high", unit: "policy", about: "high precision" },
            Setting { name: "low", unit: "policy", about: "low precision" },
        ]
    }

    fn policy(self, registry: &Registry) -> Result<Arc<dyn KvCachePolicy>, PolicyError> {
        let positive = [f64::from(self.half_life), self.budget, f64::from(self.demotion_loss)];
        if positive.iter().any(|x| !(x.is_finite() && *x > 0.0)) {
            return Err(PolicyError::Settings {
                policy: Self::NAME.to_owned(),
                problem: "budget, half_life and demotion_loss must be above 0".to_owned(),
            });
        }
        let (high, low) = (registry.build(&self.high)?, registry.build(&self.low)?);
        Ok(Arc::new(Adapting { settings: Arc::new(self), high, low }))
    }
}

struct Adapting {
    settings: Arc<Adaptive>,
    high: Arc<dyn KvCachePolicy>,
    low: Arc<dyn KvCachePolicy>,
}

impl KvCachePolicy for Adapting {
    fn name(&self) -> String {
        Adaptive::NAME.to_owned()
    }

    fn layer(
        &self,
        layer: &LayerGeometry,
        context: &Context,
    ) -> Result<Box<dyn LayerCache>, PolicyError> {
        let budget = self.budget_bytes(layer, context)?;
        let cache = PerHead::new(layer, |one| {
            let store = |policy: &Arc<dyn KvCachePolicy>| Store::new(&**policy, one, context);
            let (high, low) = (store(&self.high)?, store(&self.low)?);
            Ok(Head { settings: self.settings.clone(), budget, high, low })
        });
        Ok(Box::new(cache?))
    }

    fn promise(&self) -> Promise {
        let exact = |policy: &Arc<dyn KvCachePolicy>| policy.promise().streaming_exact;
        let streaming_exact = exact(&self.high) && exact(&self.low);
        Promise { streaming_exact, append_only: false, ..Promise::default() }
    }
}

impl Adapting {
    /// Bytes that a head may hold of a text whose length is planned.
    fn budget_bytes(&self, layer: &LayerGeometry, context: &Context) -> Result<u64, PolicyError> {
        let wrong = |problem| PolicyError::Settings { policy: Adaptive::NAME.to_owned(), problem };
        let Adaptive { budget, sinks, recent, .. } = *self.settings;
        let planned = context.planned_tokens.ok_or_else(|| {
            wrong(
                "its budget is a share of a text whose length must be known, and here it is not"
                    .to_owned(),
            )
        })?;
        let bytes = (budget * 2.0 * layer.head_dim as f64 * planned as f64 / 8.0) as u64;
        let one = layer.part(1, 1);
        let mut probe = Store::new(&*self.high, &one, context)?;
        let row = || Tensor::zeros([1, 1, 1, layer.head_dim], &context.device);
        probe.push(Append { keys: row(), values: row(), position: 0 }, 0, 0.0)?;
        // The newest token is held besides until the budget is enforced.
        let floor = sinks.saturating_add(recent).saturating_add(1);
        let least = probe.footprint().held().saturating_mul(floor as u64);
        if bytes < least {
            return Err(wrong(format!(
                "{budget} bits a value of {planned} tokens are {bytes} bytes a head, and the \
                 {sinks} first and {recent} newest tokens, which stay in high precision, need \
                 {least}: raise the budget, or protect fewer"
            )));
        }
        Ok(bytes)
    }
}

/// Tokens in one precision.
struct Store {
    cache: Box<dyn LayerCache>,
    positions: Vec<u32>,
    /// The moving average of the attention received.
    scores: Vec<f32>,
}

impl Store {
    fn new(
        policy: &dyn KvCachePolicy,
        one: &LayerGeometry,
        context: &Context,
    ) -> Result<Self, PolicyError> {
        let mut cache = policy.layer(one, context)?;
        // A cache that can't drop tokens fails here rather than once the budget is full.
        cache.keep(&[])?;
        Ok(Self { cache, positions: Vec::new(), scores: Vec::new() })
    }

    fn push(&mut self, new: Append, position: u32, score: f32) -> Result<(), PolicyError> {
        self.cache.append(Append { position: self.positions.len(), ..new })?;
        self.positions.push(position);
        self.scores.push(score);
        Ok(())
    }

    /// Drops token `index`: its position and score.
    fn remove(&mut self, index: usize) -> Result<(u32, f32), PolicyError> {
        let kept: Vec<usize> = (0..self.positions.len()).filter(|i| *i != index).collect();
        self.cache.keep(&kept)?;
        Ok((self.positions.remove(index), self.scores.remove(index)))
    }

    /// Takes in the attention of one query.
    fn observe(&mut self, attention: &[f32], keep: f32) {
        for (score, attention) in self.scores.iter_mut().zip(attention) {
            *score = keep * *score + (1.0 - keep) * attention;
        }
    }

    /// The token of lowest score that is not protected.
    fn least(&self, protected: impl Fn(u32) -> bool) -> Option<(usize, f32)> {
        let tokens = self.positions.iter().zip(&self.scores).enumerate();
        let free = tokens.filter(|(_, (position, _))| !protected(**position));
        let least = free.min_by(|(_, (p, a)), (_, (q, b))| a.total_cmp(b).then(p.cmp(q)));
        least.map(|(i, (_, score))| (i, *score))
    }

    fn footprint(&self) -> Footprint {
        let own = Footprint {
            bookkeeping: 4 * (self.positions.len() + self.scores.len()) as u64,
            allocated: 4 * (self.positions.capacity() + self.scores.capacity()) as u64,
            ..Footprint::default()
        };
        self.cache.footprint() + own
    }

    fn token_bytes(&self) -> f64 {
        self.footprint().held() as f64 / self.positions.len().max(1) as f64
    }
}

/// One head of one sequence.
struct Head {
    settings: Arc<Adaptive>,
    /// Bytes that both stores may hold.
    budget: u64,
    high: Store,
    low: Store,
}

impl Head {
    fn chain(&self) -> Chain<'_, 2> {
        Chain([self.high.cache.view(), self.low.cache.view()])
    }

    fn bytes(&self) -> u64 {
        self.high.footprint().held() + self.low.footprint().held()
    }

    /// Demotes or drops the token of least loss per byte; `false` where all are protected.
    fn demote_or_drop(&mut self, seen: usize) -> Result<bool, PolicyError> {
        let Adaptive { sinks, recent, demotion_loss, .. } = *self.settings;
        let protected =
            |position: u32| (position as usize) < sinks || position as usize + recent >= seen;
        let (high, low) = (self.high.least(protected), self.low.least(protected));
        // Before the first demotion the bytes of a demoted token are not known: assume half.
        let high_bytes = self.high.token_bytes();
        let low_bytes = match self.low.positions.len() {
            0 => high_bytes / 2.0,
            _ => self.low.token_bytes(),
        };
        let demote = high.map_or(f64::INFINITY, |(_, score)| {
            f64::from(score * demotion_loss) / (high_bytes - low_bytes).max(1.0)
        });
        let drop = low.map_or(f64::INFINITY, |(_, score)| f64::from(score) / low_bytes);
        match (high, low) {
            (Some((index, _)), low) if demote <= drop || low.is_none() => {
                let (keys, values) = rows(&*self.high.cache.view(), index..index + 1)?;
                let (position, score) = self.high.remove(index)?;
                self.low.push(Append { keys, values, position: 0 }, position, score)?;
            }
            (_, Some((index, _))) => {
                self.low.remove(index)?;
            }
            (_, None) => return Ok(false),
        }
        Ok(true)
    }
}

impl HeadCache for Head {
    fn take(&mut self, token: Step, attend: bool) -> Result<Option<Tensor<4>>, PolicyError> {
        let position = token.new.position as u32;
        self.high.push(token.new.clone(), position, 0.0)?;
        if !attend {
            return Ok(None);
        }
        let (soft_cap, held) = (token.soft_cap, self.chain().tokens());
        let queries = Queries { soft_cap, ..Queries::causal(token.queries, held, token.scale) };
        let attended = self.attend(&queries)?;
        let attention = host(received(&queries, &self.chain(), &attended.log_sum_exp)?)?;
        let keep = 0.5f32.powf(1.0 / self.settings.half_life);
        let (high, low) = attention.split_at(self.high.positions.len());
        self.high.observe(high, keep);
        self.low.observe(low, keep);
        Ok(Some(attended.output))
    }

    fn enforce(heads: &mut [Self], seen: usize) -> Result<(), PolicyError> {
        for head in heads {
            while head.bytes() > head.budget && head.demote_or_drop(seen)? {}
        }
        Ok(())
    }

    /// The attention that tokens receive is computed from unpacked keys.
    fn fused(&self) -> bool {
        false
    }

    fn attend(&self, queries: &Queries) -> Result<PartialAttention, PolicyError> {
        // Only tokens that the queries may read are held, so every query reads all of them.
        let all = |store: &Store| {
            let count = store.positions.len();
            queries.over(queries.visible.iter().map(|_| 0..count).collect())
        };
        let high = self.high.cache.attend(&all(&self.high))?;
        if self.low.positions.is_empty() {
            return Ok(high);
        }
        Ok(high.merge(self.low.cache.attend(&all(&self.low))?))
    }

    fn observes(&self) -> bool {
        true
    }

    fn view(&self) -> Box<dyn CacheView + '_> {
        Box::new(self.chain())
    }

    fn positions(&self) -> Vec<usize> {
        let both = self.high.positions.iter().chain(&self.low.positions);
        let mut positions: Vec<usize> = both.map(|position| *position as usize).collect();
        positions.sort_unstable();
        positions
    }

    fn footprint(&self) -> Footprint {
        self.high.footprint() + self.low.footprint()
    }

    fn reset(&mut self) {
        for store in [&mut self.high, &mut self.low] {
            store.cache.reset();
            store.positions = Vec::new();
            store.scores = Vec::new();
        }
    }
}
