//! The plug point of kvr: key-value cache policies, storage formats and their kernels.
//!
//! A [`KvCachePolicy`] makes one [`LayerCache`] a layer; a model appends keys and values to it and
//! asks it for attention. This crate knows no model, file, tokenizer or dataset.
//!
//! There are two ways in. The short one is a [`Format`]: how a block of values becomes code words
//! and scales, and back; a pair of formats is a policy. The long one is the two traits above.

pub mod builtin;
mod error;
mod footprint;
pub mod formats;
pub mod kernels;
pub mod packed;
mod policy;
mod registry;
mod shape;
mod view;
pub mod wrap;

pub use half::f16;

pub use error::{PolicyError, nearest_names};
pub use footprint::Footprint;
pub use formats::{BlockLayout, Format};
pub use policy::{Append, KvCachePolicy, LayerCache, Queries};
pub use registry::{PolicyEntry, Registry};
pub use shape::LayerGeometry;
pub use view::{CacheView, Tile};
