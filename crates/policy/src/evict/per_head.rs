//! A cache in which every key-value head of every sequence holds tokens of its own.
//!
//! What evicting and adaptive policies share: heads hold different tokens, so each has its own
//! stores; and what a query reads depends on the queries before it, so attention takes a step of
//! any size token by token. The rest of the model runs over the whole step.

use burn::Tensor;
use kvr_kernels::{
    Append, Beside, CacheView, Footprint, KernelError, LayerGeometry, PartialAttention, Positioned,
    Queries,
};
use rayon::prelude::*;

use crate::prompt::{Needs, Prompt};
use crate::{LayerCache, PolicyError, Step};

/// One key-value head of one sequence.
pub trait HeadCache: Send {
    /// Takes one token: keys and values `[1, 1, 1, D]` at an absolute position. With `attend` its
    /// queries `[1, G, 1, D]` read what is held then, and the answer has their shape.
    ///
    /// # Errors
    /// When the device fails.
    fn take(&mut self, token: Step, attend: bool) -> Result<Option<Tensor<4>>, PolicyError>;

    /// Enforces budgets: called after each token with all heads of a sequence, when `seen` tokens
    /// have come.
    ///
    /// # Errors
    /// When the device fails.
    fn enforce(heads: &mut [Self], seen: usize) -> Result<(), PolicyError>
    where
        Self: Sized;

    /// Attention over what is held; ranges beyond it are cut.
    ///
    /// # Errors
    /// When the device fails.
    fn attend(&self, queries: &Queries) -> Result<PartialAttention, PolicyError>;

    /// Whether everything that a token reads is read as it is packed.
    fn fused(&self) -> bool;

    /// Whether [`take`](Self::take) wants queries to learn from, prompts included.
    fn observes(&self) -> bool;

    /// What is held, as one head.
    fn view(&self) -> Box<dyn CacheView + '_>;

    /// Absolute positions of what is held, ascending.
    fn positions(&self) -> Vec<usize>;

    /// Bytes of live buffers.
    fn footprint(&self) -> Footprint;

    /// Forgets every token.
    fn reset(&mut self);
}

/// The heads of one layer.
pub struct PerHead<H> {
    geometry: LayerGeometry,
    /// `[B][Hkv]`
    heads: Vec<H>,
    seen: usize,
}

/// `[B · Hkv]` answers `[1, G, S, _]` to `[B, Hq, S, _]`.
pub(super) fn join(answers: Vec<Tensor<4>>, kv_heads: usize) -> Tensor<4> {
    let sequences = answers.chunks(kv_heads);
    Tensor::cat(sequences.map(|heads| Tensor::cat(heads.to_vec(), 1)).collect(), 0)
}

/// The numbers of a tensor.
///
/// # Errors
/// When the device fails.
pub fn host<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, PolicyError> {
    let data = tensor.into_data().try_into_vec::<f32>();
    data.map_err(|e| KernelError::Device(format!("{e:?}")).into())
}

impl<H: HeadCache> PerHead<H> {
    /// `head` makes an empty head for the geometry of one sequence and one key-value head.
    ///
    /// # Errors
    /// What `head` says.
    pub fn new(
        layer: &LayerGeometry,
        head: impl Fn(&LayerGeometry) -> Result<H, PolicyError>,
    ) -> Result<Self, PolicyError> {
        let one = layer.part(1, 1);
        let heads = (0..layer.batch * layer.kv_heads).map(|_| head(&one));
        Ok(Self { geometry: layer.clone(), heads: heads.collect::<Result<_, _>>()?, seen: 0 })
    }

    /// One token of every sequence and head: `[B, Hq, 1, D]`.
    fn token(&mut self, step: &Step, attend: bool) -> Result<Option<Tensor<4>>, PolicyError> {
        let kv_heads = self.geometry.kv_heads;
        let heads = self.heads.par_iter_mut().enumerate();
        let outputs = heads.map(|(i, head)| {
            let (b, h) = (i / kv_heads, i % kv_heads);
            head.take(step.heads(b..b + 1, h..h + 1), attend)
        });
        let outputs = outputs.collect::<Result<Vec<Option<Tensor<4>>>, PolicyError>>()?;
        self.seen += 1;
        let seen = self.seen;
        self.heads.chunks_exact_mut(kv_heads).try_for_each(|heads| H::enforce(heads, seen))?;
        let outputs: Option<Vec<Tensor<4>>> = outputs.into_iter().collect();
        Ok(outputs.map(|outputs| join(outputs, self.geometry.kv_heads)))
    }

    fn check(&self, new: &Append) -> Result<(), PolicyError> {
        new.check(&self.geometry)?;
        if new.position == self.seen {
            return Ok(());
        }
        Err(KernelError::Position { expected: self.seen, got: new.position }.into())
    }
}

impl<H: HeadCache> LayerCache for PerHead<H> {
    fn geometry(&self) -> &LayerGeometry {
        &self.geometry
    }

    fn append(&mut self, new: Append) -> Result<(), PolicyError> {
        self.check(&new)?;
        let [b, _, _, d] = new.keys.dims();
        let queries = Tensor::zeros([b, self.geometry.query_heads, 1, d], &new.keys.device());
        for i in 0..new.tokens() {
            let new = new.part(i..i + 1, self.seen);
            self.token(&Step::new(new, queries.clone(), 1.0), false)?;
        }
        Ok(())
    }

    fn view(&self) -> Box<dyn CacheView + '_> {
        let heads = self.heads.iter().map(|head| {
            let positions = |_, _| head.positions();
            Box::new(Positioned { inner: head.view(), positions }) as Box<dyn CacheView + '_>
        });
        Box::new(Beside::grid(heads.collect(), self.geometry.kv_heads))
    }

    fn footprint(&self) -> Footprint {
        self.heads.iter().map(H::footprint).sum()
    }

    fn reset(&mut self) {
        self.heads.iter_mut().for_each(H::reset);
        self.seen = 0;
    }

    fn fused(&self) -> bool {
        self.heads.iter().all(H::fused)
    }

    /// Over what each head holds now; ranges beyond a head's own count are cut.
    fn attend(&self, queries: &Queries) -> Result<PartialAttention, PolicyError> {
        let g = &self.geometry;
        g.check("queries", &queries.queries, g.query_heads, queries.visible.len())?;
        let group = g.query_heads / g.kv_heads;
        let answers = self.heads.iter().enumerate().map(|(i, head)| {
            let rows = queries.queries.clone().narrow(0, i / g.kv_heads, 1);
            let rows = rows.narrow(1, i % g.kv_heads * group, group);
            let PartialAttention { output, log_sum_exp } =
                head.attend(&Queries { queries: rows, ..queries.clone() })?;
            Ok((output, log_sum_exp))
        });
        let answers = answers.collect::<Result<Vec<_>, PolicyError>>()?;
        let (outputs, log_sum_exps) = answers.into_iter().unzip();
        Ok(PartialAttention {
            output: join(outputs, self.geometry.kv_heads),
            log_sum_exp: join(log_sum_exps, self.geometry.kv_heads),
        })
    }

    fn step(&mut self, step: Step) -> Result<Tensor<4>, PolicyError> {
        step.check(&self.geometry)?;
        self.check(&step.new)?;
        let mut outputs = Vec::new();
        for i in 0..step.new.tokens() {
            outputs.extend(self.token(&step.part(i..i + 1, self.seen), true)?);
        }
        Ok(Tensor::cat(outputs, 2))
    }

    fn needs(&self) -> Needs {
        let observes = self.heads.iter().any(H::observes);
        Needs { queries: if observes { usize::MAX } else { 0 }, ..Needs::default() }
    }

    /// The heads take the prompt token by token, with its queries where they learn from these.
    fn compress(&mut self, prompt: Prompt) -> Result<(), PolicyError> {
        if !self.heads.iter().any(H::observes) {
            return self.append(prompt.rows());
        }
        let queries = prompt.last_queries(prompt.tokens())?;
        let step = Step::new(prompt.rows(), queries.queries, prompt.scale);
        let step = Step { soft_cap: prompt.soft_cap, ..step };
        self.step(step).map(|_| ())
    }
}
