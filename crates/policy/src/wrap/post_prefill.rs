//! The prompt attends in full precision and is then compressed at once; later tokens read the
//! compressed cache.
//!
//! This is how most papers measure, and how kvpress and Hugging Face's quantised cache work. The
//! prompt ends with the step that says so ([`Step::ends_prompt`]). Until then its keys and values
//! are held in f32: in all layers if it comes in several steps, in one layer at a time if in one.

use std::sync::Arc;

use burn::Tensor;
use kvr_kernels::formats::F32;
use kvr_kernels::{
    Append, CacheView, Context, Footprint, LayerGeometry, PackedCache, PartialAttention, Queries,
    Side, rows,
};

use crate::prompt::{Needs, Prompt};
use crate::{KvCachePolicy, LayerCache, PolicyError, Promise, Step};

/// A policy whose prompt attends in full precision.
pub struct PostPrefill(pub Arc<dyn KvCachePolicy>);

impl KvCachePolicy for PostPrefill {
    fn name(&self) -> String {
        self.0.name()
    }

    fn config(&self) -> String {
        self.0.config()
    }

    fn layer(
        &self,
        layer: &LayerGeometry,
        context: &Context,
    ) -> Result<Box<dyn LayerCache>, PolicyError> {
        Ok(Box::new(Cache {
            full: Full::new(layer, context)?,
            kept: self.0.layer(layer, context)?,
        }))
    }

    fn promise(&self) -> Promise {
        // What counts as the prompt depends on the steps.
        Promise { streaming_exact: false, append_only: false, ..self.0.promise() }
    }
}

struct Cache {
    /// The prompt, until it is complete.
    full: Full,
    kept: Box<dyn LayerCache>,
}

impl Cache {
    /// The cache in use now.
    fn current(&self) -> &dyn LayerCache {
        if self.full.open { &self.full.store } else { &*self.kept }
    }
}

impl LayerCache for Cache {
    fn geometry(&self) -> &LayerGeometry {
        self.kept.geometry()
    }

    fn append(&mut self, new: Append) -> Result<(), PolicyError> {
        match self.full.open {
            true => LayerCache::append(&mut self.full.store, new),
            false => self.kept.append(new),
        }
    }

    fn view(&self) -> Box<dyn CacheView + '_> {
        self.current().view()
    }

    fn footprint(&self) -> Footprint {
        self.full.store.footprint() + self.kept.footprint()
    }

    fn reset(&mut self) {
        self.full.reset();
        self.full.open = true;
        self.kept.reset();
    }

    fn fused(&self) -> bool {
        self.kept.fused()
    }

    fn attend(&self, queries: &Queries) -> Result<PartialAttention, PolicyError> {
        self.current().attend(queries)
    }

    fn step(&mut self, step: Step) -> Result<Tensor<4>, PolicyError> {
        if !self.full.open {
            return self.kept.step(step);
        }
        let ends = step.ends_prompt;
        let output = self.full.step(step, self.kept.needs())?;
        if ends {
            self.kept.compress(self.full.prompt()?)?;
            self.full.reset();
            self.full.open = false;
        }
        Ok(output)
    }

    fn keep(&mut self, kept: &[usize]) -> Result<(), PolicyError> {
        match self.full.open {
            true => LayerCache::keep(&mut self.full.store, kept),
            false => self.kept.keep(kept),
        }
    }

    fn needs(&self) -> Needs {
        if self.full.open { self.kept.needs() } else { Needs::default() }
    }
}

/// A prompt in full precision, with what the policy wants to know of it.
struct Full {
    store: PackedCache,
    open: bool,
    scale: f32,
    soft_cap: Option<f32>,
    queries: Vec<Tensor<4>>,
    hidden: Vec<Tensor<3>>,
    output_weight: Option<Tensor<2>>,
}

impl Full {
    fn new(layer: &LayerGeometry, context: &Context) -> Result<Self, PolicyError> {
        let side = || Side::per_token(Arc::new(F32));
        let store = PackedCache::new(layer, context, side(), side())?;
        let (queries, hidden) = (Vec::new(), Vec::new());
        let (scale, soft_cap, output_weight) = (1.0, None, None);
        Ok(Self { store, open: true, scale, soft_cap, queries, hidden, output_weight })
    }

    fn step(&mut self, step: Step, needs: Needs) -> Result<Tensor<4>, PolicyError> {
        let queries = step.queries.clone();
        (self.scale, self.soft_cap) = (step.scale, step.soft_cap);
        self.hidden.extend(step.hidden.clone().filter(|_| needs.hidden));
        self.output_weight = step.output_weight.clone().filter(|_| needs.output_weight);
        let output = LayerCache::step(&mut self.store, step)?;
        self.watch(queries, needs.queries);
        Ok(output)
    }

    /// Keeps the queries of the last `wanted` tokens.
    fn watch(&mut self, queries: Tensor<4>, wanted: usize) {
        if wanted == 0 {
            return;
        }
        let count = queries.dims()[2];
        let last = count.min(wanted);
        self.queries.push(queries.narrow(2, count - last, last));
        // Pieces before the last that matters are dropped whole.
        let held = |pieces: &[Tensor<4>]| pieces.iter().map(|q| q.dims()[2]).sum::<usize>();
        while self.queries.len() > 1 && held(&self.queries[1..]) >= wanted {
            self.queries.remove(0);
        }
    }

    fn prompt(&mut self) -> Result<Prompt, PolicyError> {
        let (keys, values) = rows(self.store.view(), 0..self.store.view().tokens())?;
        let (queries, hidden) =
            (std::mem::take(&mut self.queries), std::mem::take(&mut self.hidden));
        Ok(Prompt {
            keys,
            values,
            queries: (!queries.is_empty()).then(|| Tensor::cat(queries, 2)),
            scale: self.scale,
            soft_cap: self.soft_cap,
            hidden: (!hidden.is_empty()).then(|| Tensor::cat(hidden, 1)),
            output_weight: self.output_weight.take(),
        })
    }

    fn reset(&mut self) {
        self.store.reset();
        self.queries = Vec::new();
        self.hidden = Vec::new();
        self.output_weight = None;
    }
}
