//! The cache of one layer, which answers attention.

use burn::Tensor;
use kvr_kernels::{
    Append, CacheView, Footprint, LayerGeometry, PackedCache, PartialAttention, Queries, attention,
};

use crate::prompt::{Needs, Prompt};
use crate::{PolicyError, Step};

/// The cache of one layer and one batch of sequences.
///
/// A model calls [`step`](Self::step); steps, and policies made of policies, are built from the
/// other methods. A cache counts its tokens from 0 in the order of the text.
pub trait LayerCache: Send {
    /// What the cache was made for.
    fn geometry(&self) -> &LayerGeometry;

    /// Stores new tokens without attention. On `Err` nothing has changed.
    ///
    /// # Errors
    /// When shapes or the position do not fit, or the device fails.
    fn append(&mut self, new: Append) -> Result<(), PolicyError>;

    /// The cache as attention reads it.
    fn view(&self) -> Box<dyn CacheView + '_>;

    /// Bytes of live buffers.
    fn footprint(&self) -> Footprint;

    /// Drops every token and frees the memory.
    fn reset(&mut self);

    /// Softmax attention of `queries` over what is held.
    ///
    /// The default decodes one tile at a time and merges tiles with an online softmax; a cache
    /// with a fused kernel overrides it.
    ///
    /// # Errors
    /// When shapes do not fit or the device fails.
    fn attend(&self, queries: &Queries) -> Result<PartialAttention, PolicyError> {
        Ok(attention::reference(queries, &*self.view())?)
    }

    /// Whether [`attend`](Self::attend) reads the cache as it is packed. Where it unpacks it tile
    /// by tile, as the default does, records warn that speeds are not those of a fused kernel.
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

    /// Keeps the tokens at the indices `kept`, which ascend, of every sequence and head; drops the
    /// others and frees their memory. What is kept is not encoded again.
    ///
    /// # Errors
    /// When the cache can't drop single tokens; nothing has changed then.
    fn keep(&mut self, kept: &[usize]) -> Result<(), PolicyError> {
        let _ = kept;
        Err(PolicyError::Unsupported {
            what: "this cache can't drop single tokens, so nothing can be evicted from it"
                .to_owned(),
            fix: "evict from a policy of per-token formats, such as k8v4".to_owned(),
        })
    }

    /// What this cache wants to see of a prompt when [`compress`](Self::compress) is called.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// Takes a whole prompt into an empty cache after it attended in full precision: the moment at
    /// which methods that compress prompts choose what stays. The default stores every token.
    ///
    /// # Errors
    /// When shapes do not fit, or the prompt lacks what [`needs`](Self::needs) asked for.
    fn compress(&mut self, prompt: Prompt) -> Result<(), PolicyError> {
        self.append(prompt.rows())
    }
}

impl LayerCache for PackedCache {
    fn geometry(&self) -> &LayerGeometry {
        self.geometry()
    }

    fn append(&mut self, new: Append) -> Result<(), PolicyError> {
        Ok(self.append(new)?)
    }

    fn view(&self) -> Box<dyn CacheView + '_> {
        Box::new(self.view())
    }

    fn footprint(&self) -> Footprint {
        self.footprint()
    }

    fn reset(&mut self) {
        self.reset();
    }

    fn attend(&self, queries: &Queries) -> Result<PartialAttention, PolicyError> {
        Ok(self.attend(queries)?)
    }

    fn fused(&self) -> bool {
        self.fused()
    }

    fn keep(&mut self, kept: &[usize]) -> Result<(), PolicyError> {
        Ok(self.keep(kept)?)
    }
}
