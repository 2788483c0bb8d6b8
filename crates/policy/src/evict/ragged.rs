//! A layer whose heads hold different numbers of tokens, each in a store of its own.

use burn::Tensor;
use burn::tensor::{Int, TensorData};
use kvr_kernels::{
    Append, Beside, CacheView, Context, Footprint, LayerGeometry, PartialAttention, Queries,
};
use rayon::prelude::*;

use super::per_head::join;
use crate::prompt::Prompt;
use crate::{KvCachePolicy, LayerCache, PolicyError, Step};

/// The heads of one layer. Positions are counted in the longest of them; each head appends to what
/// it holds itself.
pub(super) struct Ragged {
    geometry: LayerGeometry,
    /// `[B · Hkv]`
    heads: Vec<Box<dyn LayerCache>>,
}

impl Ragged {
    /// Stores the tokens `kept` `[B · Hkv]` of a prompt.
    pub(super) fn new(
        storage: &dyn KvCachePolicy,
        geometry: &LayerGeometry,
        context: &Context,
        prompt: &Prompt,
        kept: &[Vec<usize>],
    ) -> Result<Self, PolicyError> {
        let one = geometry.part(1, 1);
        let heads = kept.iter().enumerate().map(|(i, kept)| {
            let (b, h) = (i / geometry.kv_heads, i % geometry.kv_heads);
            let indices: Vec<i32> = kept.iter().map(|i| *i as i32).collect();
            let indices = TensorData::new(indices, [kept.len()]);
            let indices = Tensor::<1, Int>::from_data(indices, &context.device);
            let rows = |rows: &Tensor<4>| {
                rows.clone().narrow(0, b, 1).narrow(1, h, 1).select(2, indices.clone())
            };
            let mut head = storage.layer(&one, context)?;
            if !kept.is_empty() {
                let (keys, values) = (rows(&prompt.keys), rows(&prompt.values));
                head.append(Append { keys, values, position: 0 })?;
            }
            Ok(head)
        });
        let heads = heads.collect::<Result<_, PolicyError>>()?;
        Ok(Self { geometry: geometry.clone(), heads })
    }

    /// The sequence and the key-value head of each store.
    fn places(&self) -> Vec<(usize, usize)> {
        let heads = self.geometry.kv_heads;
        (0..self.heads.len()).map(|i| (i / heads, i % heads)).collect()
    }
}

impl LayerCache for Ragged {
    fn geometry(&self) -> &LayerGeometry {
        &self.geometry
    }

    fn append(&mut self, new: Append) -> Result<(), PolicyError> {
        new.check(&self.geometry)?;
        for ((b, h), head) in self.places().into_iter().zip(&mut self.heads) {
            let rows = |rows: &Tensor<4>| rows.clone().narrow(0, b, 1).narrow(1, h, 1);
            let (keys, values) = (rows(&new.keys), rows(&new.values));
            let position = head.view().tokens();
            head.append(Append { keys, values, position })?;
        }
        Ok(())
    }

    fn view(&self) -> Box<dyn CacheView + '_> {
        let views = self.heads.iter().map(|head| head.view()).collect();
        Box::new(Beside::grid(views, self.geometry.kv_heads))
    }

    fn footprint(&self) -> Footprint {
        self.heads.iter().map(|head| head.footprint()).sum()
    }

    fn reset(&mut self) {
        self.heads.iter_mut().for_each(|head| head.reset());
    }

    fn fused(&self) -> bool {
        self.heads.iter().all(|head| head.fused())
    }

    /// Over what each head holds now; ranges beyond a head's own count are cut.
    fn attend(&self, queries: &Queries) -> Result<PartialAttention, PolicyError> {
        let group = self.geometry.query_heads / self.geometry.kv_heads;
        let answers = self.places().into_iter().zip(&self.heads).map(|((b, h), head)| {
            let rows = queries.queries.clone().narrow(0, b, 1).narrow(1, h * group, group);
            let PartialAttention { output, log_sum_exp } =
                head.attend(&Queries { queries: rows, ..queries.clone() })?;
            Ok((output, log_sum_exp))
        });
        let (outputs, sums) = answers.collect::<Result<Vec<_>, PolicyError>>()?.into_iter().unzip();
        let kv_heads = self.geometry.kv_heads;
        Ok(PartialAttention { output: join(outputs, kv_heads), log_sum_exp: join(sums, kv_heads) })
    }

    fn step(&mut self, step: Step) -> Result<Tensor<4>, PolicyError> {
        step.check(&self.geometry)?;
        let places = self.places();
        let heads = self.heads.par_iter_mut().zip(places);
        let outputs = heads.map(|(head, (b, h))| {
            let position = head.view().tokens();
            head.step(step.heads(b..b + 1, h..h + 1).at(position))
        });
        let outputs = outputs.collect::<Result<Vec<_>, _>>()?;
        Ok(join(outputs, self.geometry.kv_heads))
    }
}
