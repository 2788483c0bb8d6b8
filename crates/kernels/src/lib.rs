//! Storage formats, the packed store and the kernels of kvr, on CPUs and on GPUs through WGSL.
//!
//! This crate knows geometry, bytes and arithmetic; no policy, name or setting. Axis letters used
//! everywhere: `B` batch, `Hq` query heads, `Hkv` key-value heads, `S` tokens, `D` head_dim.

pub mod attention;
mod device;
mod error;
mod footprint;
pub mod formats;
mod geometry;
pub mod ggml;
pub mod layers;
pub mod linear;
mod overflows;
mod packed;
pub mod paged;
mod rope;
pub mod simd;
mod tokens;
mod view;
mod wgsl;

pub use half::f16;

pub use attention::{LN_ZERO, PartialAttention};
pub use device::{Context, MatrixUnits, is_cpu};
pub use error::KernelError;
pub use footprint::Footprint;
pub use formats::{BlockLayout, CodeMeaning, Format, Packing};
pub use geometry::LayerGeometry;
pub use overflows::Overflows;
pub use packed::PackedCache;
pub use paged::{Axis, PAGE_TOKENS, Side};
pub use rope::{ChannelOrder, Rope, rotate};
pub use tokens::{Append, Queries};
pub use view::{Beside, CacheView, Chain, Positioned, Tile, rows};
