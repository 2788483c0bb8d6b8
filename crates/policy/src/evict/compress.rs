//! Prompts compressed at their end, by a score for each token.
//!
//! The prompt attends in full, scores are computed once, the best tokens of each head are stored,
//! and later tokens are appended to them. Source: kvpress (NVIDIA). Deviation: dropped tokens are
//! freed head by head; kvpress masks keys where heads keep different numbers.

use std::sync::Arc;

use burn::Tensor;
use burn::tensor::{Int, TensorData};
use kvr_kernels::{
    Append, CacheView, Context, Footprint, KernelError, LayerGeometry, PartialAttention,
    Positioned, Queries,
};
use serde::{Deserialize, Serialize};

use super::choice::{best, best_of_all};
use super::per_head::host;
use super::ragged::Ragged;
use crate::policy::{Compression, HeadBudgets};
use crate::prompt::{Needs, Prompt};
use crate::scorer::PromptScorer;
use crate::spec::PolicySpec;
use crate::{Budget, KvCachePolicy, LayerCache, PolicyError, Promise, Registry, Step};
use crate::{Method, Setting};

impl KvCachePolicy for Compression {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn layer(
        &self,
        layer: &LayerGeometry,
        context: &Context,
    ) -> Result<Box<dyn LayerCache>, PolicyError> {
        Ok(Box::new(Cache {
            even: self.storage.layer(layer, context)?,
            ragged: None,
            kept: Vec::new(),
            seen: 0,
            compression: self.clone(),
            context: context.clone(),
        }))
    }

    fn promise(&self) -> Promise {
        Promise { compresses_prompts: true, append_only: false, ..self.storage.promise() }
    }

    fn compression(&self) -> Option<Compression> {
        Some(self.clone())
    }
}

/// The settings of a method that compresses prompts: those of all, and its scorer's own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, bound = "")]
pub struct Compress<S: PromptScorer> {
    /// Tokens of the prompt that a head holds.
    #[serde(flatten)]
    pub budget: Budget,
    /// What stores the tokens kept.
    pub policy: PolicySpec,
    /// The scorer's own settings.
    #[serde(flatten)]
    pub scorer: S,
}

impl<S: PromptScorer> Default for Compress<S> {
    fn default() -> Self {
        let policy = PolicySpec::name("fp16");
        Self { budget: Budget::default(), policy, scorer: S::default() }
    }
}

impl<S: PromptScorer> Method for Compress<S> {
    const NAME: &'static str = S::NAME;
    const SUMMARY: &'static str = S::SUMMARY;
    const SOURCE: &'static str = S::SOURCE;

    fn settings() -> Vec<Setting> {
        let storage =
            Setting { name: "policy", unit: "policy", about: "what stores the tokens kept" };
        let common = Budget::SETTINGS.into_iter().chain([storage]);
        common.chain(S::SETTINGS.iter().copied()).collect()
    }

    fn policy(self, registry: &Registry) -> Result<Arc<dyn KvCachePolicy>, PolicyError> {
        let wrong = |problem| PolicyError::Settings { policy: S::NAME.to_owned(), problem };
        self.scorer.check().map_err(wrong)?;
        let storage = registry.build(&self.policy)?;
        if !storage.promise().append_only {
            return Err(wrong(format!(
                "{} packs or drops tokens later: store what is kept in a policy that does not, \
                 such as k8v4",
                storage.name()
            )));
        }
        let budget = self.budget.check().map_err(wrong)?;
        if let Some(tokens) = budget.tokens {
            budget.resolve(Some(tokens), self.scorer.floor(), S::NAME)?;
        }
        Ok(Arc::new(Compression {
            name: S::NAME,
            scorer: Arc::new(self.scorer),
            budget,
            heads: HeadBudgets::Even,
            storage,
        }))
    }
}

struct Cache {
    compression: Compression,
    context: Context,
    /// The store while all heads hold as many tokens.
    even: Box<dyn LayerCache>,
    /// The store when they do not.
    ragged: Option<Ragged>,
    /// `[B · Hkv]`: the positions kept of the prompt; empty while nothing was dropped.
    kept: Vec<Vec<u32>>,
    /// Tokens that came.
    seen: usize,
}

impl Cache {
    /// The indices that each head keeps, `[B · Hkv]`, of a prompt longer than `budget`.
    fn choose(&self, prompt: &Prompt, budget: usize) -> Result<Vec<Vec<usize>>, PolicyError> {
        let geometry = self.even.geometry();
        let scores = self.compression.scorer.score(prompt, geometry)?;
        let expected = [geometry.batch, geometry.kv_heads, prompt.tokens()];
        if scores.dims() != expected {
            return Err(KernelError::Shape {
                what: "scores of a prompt",
                expected: format!("[B, Hkv, S] = {expected:?}"),
                got: format!("{:?}", scores.dims()),
            }
            .into());
        }
        let scores = host(scores)?;
        if scores.iter().any(|score| score.is_nan()) {
            return Err(PolicyError::Unsupported {
                what: format!("{} gave a score that is not a number", self.compression.name),
                fix: "check the model's numbers, or its scorer".to_owned(),
            });
        }
        let heads: Vec<Vec<f32>> =
            scores.chunks_exact(prompt.tokens()).map(<[f32]>::to_vec).collect();
        Ok(match self.compression.heads {
            HeadBudgets::Even => heads.iter().map(|scores| best(scores, budget)).collect(),
            HeadBudgets::Adaptive(share) => {
                let safe = (share * budget as f64) as usize;
                let sequences = heads.chunks_exact(geometry.kv_heads);
                sequences.flat_map(|heads| best_of_all(heads, budget, safe)).collect()
            }
        })
    }

    /// Rows of a prompt at the indices that heads of equal number keep, `[B, Hkv, n, D]`.
    fn gathered(rows: &Tensor<4>, kept: &[Vec<usize>]) -> Tensor<4> {
        let [b, h, _, d] = rows.dims();
        let n = kept[0].len();
        let indices: Vec<i32> = kept.iter().flatten().map(|i| *i as i32).collect();
        let indices = TensorData::new(indices, [b, h, n, 1]);
        let indices = Tensor::<4, Int>::from_data(indices, &rows.device());
        rows.clone().gather(2, indices.expand([b, h, n, d]))
    }

    fn positions(&self, sequence: usize, head: usize) -> Vec<usize> {
        let inner = self.stored().view().positions(sequence, head);
        let heads = self.even.geometry().kv_heads;
        let Some(kept) = self.kept.get(sequence * heads + head) else { return inner };
        // What came after the prompt follows what was kept of it, and nothing of it is missing.
        let later = inner.len().saturating_sub(kept.len());
        let kept = kept.iter().map(|position| *position as usize);
        kept.chain(self.seen - later..self.seen).collect()
    }

    fn store(&mut self) -> &mut dyn LayerCache {
        match &mut self.ragged {
            Some(ragged) => ragged,
            None => &mut *self.even,
        }
    }

    fn stored(&self) -> &dyn LayerCache {
        match &self.ragged {
            Some(ragged) => ragged,
            None => &*self.even,
        }
    }

    fn check(&self, new: &Append) -> Result<(), PolicyError> {
        if new.position == self.seen {
            return Ok(());
        }
        Err(KernelError::Position { expected: self.seen, got: new.position }.into())
    }
}

impl LayerCache for Cache {
    fn geometry(&self) -> &LayerGeometry {
        self.even.geometry()
    }

    fn append(&mut self, new: Append) -> Result<(), PolicyError> {
        self.check(&new)?;
        let (tokens, position) = (new.tokens(), self.stored().view().tokens());
        self.store().append(Append { position, ..new })?;
        self.seen += tokens;
        Ok(())
    }

    fn view(&self) -> Box<dyn CacheView + '_> {
        let positions = |sequence, head| self.positions(sequence, head);
        Box::new(Positioned { inner: self.stored().view(), positions })
    }

    fn footprint(&self) -> Footprint {
        let positions = self.kept.iter().map(|kept| 4 * kept.len() as u64).sum();
        let own =
            Footprint { bookkeeping: positions, allocated: positions, ..Footprint::default() };
        self.stored().footprint() + own
    }

    fn reset(&mut self) {
        self.even.reset();
        self.ragged = None;
        self.kept = Vec::new();
        self.seen = 0;
    }

    fn fused(&self) -> bool {
        self.stored().fused()
    }

    fn attend(&self, queries: &Queries) -> Result<PartialAttention, PolicyError> {
        self.stored().attend(queries)
    }

    fn step(&mut self, step: Step) -> Result<Tensor<4>, PolicyError> {
        self.check(&step.new)?;
        let (tokens, position) = (step.new.tokens(), self.stored().view().tokens());
        let output = self.store().step(step.at(position))?;
        self.seen += tokens;
        Ok(output)
    }

    fn needs(&self) -> Needs {
        self.compression.scorer.needs().union(self.even.needs())
    }

    fn compress(&mut self, prompt: Prompt) -> Result<(), PolicyError> {
        let tokens = prompt.tokens();
        self.check(&prompt.rows())?;
        let compression = &self.compression;
        let budget = compression.budget.of(tokens);
        if budget >= tokens {
            self.even.compress(prompt)?;
            self.seen = tokens;
            return Ok(());
        }
        let floor = compression.scorer.floor();
        compression.budget.resolve(Some(tokens), floor, compression.name)?;
        let kept = self.choose(&prompt, budget)?;
        if kept.iter().all(|head| head.len() == kept[0].len()) {
            let keys = Self::gathered(&prompt.keys, &kept);
            let values = Self::gathered(&prompt.values, &kept);
            self.even.append(Append { keys, values, position: 0 })?;
        } else {
            let storage = &*compression.storage;
            let geometry = self.even.geometry();
            self.ragged = Some(Ragged::new(storage, geometry, &self.context, &prompt, &kept)?);
        }
        let positions = |head: &Vec<usize>| head.iter().map(|i| *i as u32).collect();
        self.kept = kept.iter().map(positions).collect();
        self.seen = tokens;
        Ok(())
    }
}
