//! A cache whose key-value heads are kept by several caches, each with some neighbouring heads.

use std::ops::Range;

use burn::Tensor;
use kvr_kernels::{
    Append, Beside, CacheView, Context, Footprint, LayerGeometry, PartialAttention, Queries,
};

use crate::prompt::{Needs, Prompt};
use crate::{KvCachePolicy, LayerCache, PolicyError, Step};

/// Caches of neighbouring key-value heads of one layer.
pub(crate) struct ByHead {
    geometry: LayerGeometry,
    parts: Vec<Part>,
}

struct Part {
    cache: Box<dyn LayerCache>,
    /// The key-value heads that this cache keeps.
    heads: Range<usize>,
}

impl ByHead {
    /// Caches for runs of heads: a policy and how many heads it keeps, in order.
    pub(crate) fn cache<'a>(
        layer: &LayerGeometry,
        context: &Context,
        runs: impl Iterator<Item = (&'a dyn KvCachePolicy, usize)>,
    ) -> Result<Box<dyn LayerCache>, PolicyError> {
        let mut start = 0;
        let parts = runs.map(|(policy, count)| {
            let heads = start..start + count;
            start += count;
            Ok(Part { cache: policy.layer(&layer.part(layer.batch, count), context)?, heads })
        });
        let parts = parts.collect::<Result<_, PolicyError>>()?;
        Ok(Box::new(Self { parts, geometry: layer.clone() }))
    }
}

/// Heads `range` of `[B, H, S, D]`.
fn heads(tensor: &Tensor<4>, range: &Range<usize>) -> Tensor<4> {
    tensor.clone().narrow(1, range.start, range.len())
}

impl LayerCache for ByHead {
    fn geometry(&self) -> &LayerGeometry {
        &self.geometry
    }

    fn append(&mut self, new: Append) -> Result<(), PolicyError> {
        new.check(&self.geometry)?;
        // Caches check before they change; they were made alike, so what one takes, all take.
        for Part { cache, heads: range } in &mut self.parts {
            cache.append(Append {
                keys: heads(&new.keys, range),
                values: heads(&new.values, range),
                position: new.position,
            })?;
        }
        Ok(())
    }

    fn view(&self) -> Box<dyn CacheView + '_> {
        let parts = self.parts.iter().map(|part| (part.cache.view(), part.heads.len()));
        Box::new(Beside::heads(parts.collect()))
    }

    fn footprint(&self) -> Footprint {
        self.parts.iter().map(|part| part.cache.footprint()).sum()
    }

    fn reset(&mut self) {
        self.parts.iter_mut().for_each(|part| part.cache.reset());
    }

    fn fused(&self) -> bool {
        self.parts.iter().all(|part| part.cache.fused())
    }

    fn attend(&self, queries: &Queries) -> Result<PartialAttention, PolicyError> {
        let group = self.geometry.query_heads / self.geometry.kv_heads;
        let parts = self.parts.iter().map(|Part { cache, heads: kv }| {
            let range = kv.start * group..kv.end * group;
            let queries = Queries { queries: heads(&queries.queries, &range), ..queries.clone() };
            let PartialAttention { output, log_sum_exp } = cache.attend(&queries)?;
            Ok((output, log_sum_exp))
        });
        let (outputs, log_sum_exps) =
            parts.collect::<Result<Vec<_>, PolicyError>>()?.into_iter().unzip();
        Ok(PartialAttention {
            output: Tensor::cat(outputs, 1),
            log_sum_exp: Tensor::cat(log_sum_exps, 1),
        })
    }

    fn step(&mut self, step: Step) -> Result<Tensor<4>, PolicyError> {
        step.check(&self.geometry)?;
        let batch = self.geometry.batch;
        let parts = self.parts.iter_mut();
        let outputs = parts.map(|part| part.cache.step(step.heads(0..batch, part.heads.clone())));
        Ok(Tensor::cat(outputs.collect::<Result<_, _>>()?, 1))
    }

    fn keep(&mut self, kept: &[usize]) -> Result<(), PolicyError> {
        // All parts must be able to, before one of them changes; an empty cache keeps nothing.
        self.parts.iter_mut().try_for_each(|part| part.cache.keep(kept))
    }

    fn needs(&self) -> Needs {
        self.parts.iter().fold(Needs::default(), |all, part| all.union(part.cache.needs()))
    }

    fn compress(&mut self, prompt: Prompt) -> Result<(), PolicyError> {
        let group = self.geometry.query_heads / self.geometry.kv_heads;
        for Part { cache, heads: kv } in &mut self.parts {
            let query_heads = kv.start * group..kv.end * group;
            let d = self.geometry.head_dim;
            let columns = (query_heads.start * d, query_heads.len() * d);
            cache.compress(Prompt {
                keys: heads(&prompt.keys, kv),
                values: heads(&prompt.values, kv),
                queries: prompt.queries.as_ref().map(|queries| heads(queries, &query_heads)),
                output_weight: prompt
                    .output_weight
                    .as_ref()
                    .map(|weight| weight.clone().narrow(1, columns.0, columns.1)),
                ..prompt.clone()
            })?;
        }
        Ok(())
    }
}
