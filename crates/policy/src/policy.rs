//! The plug point: a policy makes the cache of a layer, and the cache answers attention.

use burn::Tensor;

use crate::PolicyError;
use crate::attended::Attended;
use crate::budget::Budget;
use crate::footprint::Footprint;
use crate::kernels::attend;
use crate::shape::LayerGeometry;
use crate::step::{Append, Queries, Step};
use crate::view::CacheView;

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
    fn layer(&self, layer: &LayerGeometry) -> Result<Box<dyn LayerCache>, PolicyError>;

    /// What the policy promises; [`testkit`](crate::testkit) holds it to it.
    fn promise(&self) -> Promise {
        Promise::default()
    }
}

/// What a policy promises about all of its caches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Promise {
    /// Steps of any size give the same outputs as token by token. A policy that does not promise
    /// this gets a warning in its records, because its numbers depend on the size of the steps.
    pub streaming_exact: bool,
    /// A token reads the same from its append on, until it is forgotten: nothing is packed again
    /// later, as windows do. Policies that read a cache at several moments of a step need this.
    pub settled: bool,
    /// The most tokens that a head holds after a step, on average over the heads of a layer.
    pub budget: Option<Budget>,
}

impl Default for Promise {
    fn default() -> Self {
        Self { streaming_exact: true, settled: true, budget: None }
    }
}

/// The cache of one layer and one batch of sequences.
///
/// A model calls [`step`](Self::step); the other methods are what steps, and policies made of
/// policies, are made of. A cache counts its tokens from 0 in the order of the text.
pub trait LayerCache: Send {
    /// What the cache was made for.
    fn geometry(&self) -> &LayerGeometry;

    /// Stores new tokens without attention. On `Err` nothing has changed.
    ///
    /// # Errors
    /// When shapes or the position do not fit, or the device fails.
    fn append(&mut self, new: Append) -> Result<(), PolicyError>;

    /// The cache as attention reads it.
    fn view(&self) -> &dyn CacheView;

    /// Bytes of live buffers.
    fn footprint(&self) -> Footprint;

    /// Forgets every token and gives the memory back.
    fn reset(&mut self);

    /// Softmax attention of `queries` over what is held.
    ///
    /// The default decodes one tile at a time and merges tiles with an online softmax; a cache
    /// with a fused kernel overrides it.
    ///
    /// # Errors
    /// When shapes do not fit or the device fails.
    fn attend(&self, queries: &Queries) -> Result<Attended, PolicyError> {
        attend::reference::attend(queries, self.view())
    }

    /// Whether [`attend`](Self::attend) reads the cache as it is packed. Where it unpacks it tile by tile
    /// instead, as the default does, records warn that speeds are not those of a fused kernel.
    fn fused(&self) -> bool {
        false
    }

    /// One step of the model: stores the new tokens and answers their queries, `[B, Hq, S_new, D]`.
    ///
    /// The default appends, then lets each query read every token up to its own. A cache whose
    /// stored form changes from one query to the next (windows, evictions) overrides it, so that
    /// every query reads what it would read in generation. On `Err` nothing has changed, unless
    /// the device failed.
    ///
    /// # Errors
    /// When shapes or the position do not fit, or the device fails.
    fn step(&mut self, step: Step) -> Result<Tensor<4>, PolicyError> {
        step.check(self.geometry())?;
        let (new, queries) = step.causal();
        self.append(new)?;
        Ok(self.attend(&queries)?.output)
    }

    /// Keeps the tokens at the indices `kept`, which ascend, of every sequence and head; forgets
    /// the others and gives their room back. What is kept is not encoded again.
    ///
    /// # Errors
    /// When the cache can't forget single tokens; it says so before it changes anything.
    fn keep(&mut self, kept: &[usize]) -> Result<(), PolicyError> {
        let _ = kept;
        Err(PolicyError::Unsupported {
            what: "this cache can't forget single tokens, so nothing can evict from it".to_owned(),
            mend: "evict from a policy of per-token formats, such as k8v4".to_owned(),
        })
    }
}
