//! The plug point: a policy makes the cache of a layer, and the cache answers attention.

use burn::Tensor;

use crate::PolicyError;
use crate::footprint::Footprint;
use crate::kernels::attend;
use crate::shape::LayerGeometry;
use crate::view::CacheView;

/// A recipe: makes the cache of one layer.
pub trait KvCachePolicy: Send + Sync {
    /// The name that `--policy` takes and that records carry, such as `k8v4`.
    fn name(&self) -> String;

    /// The settings behind the name, as they go into records: `keys q8_0, values q4_0`.
    fn config(&self) -> String;

    /// Makes the empty cache of one layer.
    ///
    /// # Errors
    /// When the policy can't serve this geometry, such as a block that does not divide head_dim.
    fn layer(&self, layer: &LayerGeometry) -> Result<Box<dyn LayerCache>, PolicyError>;
}

/// New keys and values of one layer, in the order of the text.
#[derive(Debug)]
pub struct Append {
    /// Keys after RoPE, `[B, Hkv, S_new, D]`, f32.
    pub keys: Tensor<4>,
    /// Values, `[B, Hkv, S_new, D]`, f32.
    pub values: Tensor<4>,
    /// Absolute position of the first new token.
    pub position: usize,
}

/// The queries of one step.
#[derive(Debug)]
pub struct Queries {
    /// Queries after RoPE, `[B, Hq, S_new, D]`, f32.
    pub queries: Tensor<4>,
    /// Absolute position of the first query; each reads the tokens at or before its own position.
    pub position: usize,
    /// What scores are multiplied by before the softmax, usually `1/sqrt(D)`.
    pub scale: f32,
}

/// The cache of one layer and one batch of sequences. A step is append, then attend.
pub trait LayerCache: Send {
    /// Stores new tokens. On `Err` nothing has changed.
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

    /// Softmax attention of `queries` over what is held: `[B, Hq, S_new, D]`, f32.
    ///
    /// The default decodes one tile at a time and merges tiles with an online softmax; a cache
    /// with a fused kernel overrides it.
    ///
    /// # Errors
    /// When shapes do not fit or the device fails.
    fn attend(&self, queries: Queries) -> Result<Tensor<4>, PolicyError> {
        attend::reference::attend(queries, self.view())
    }
}
