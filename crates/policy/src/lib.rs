//! The plug point of kvr: key-value cache policies.
//!
//! A [`KvCachePolicy`] makes one [`LayerCache`] a layer; a model takes steps through it. This crate
//! knows no model, file, tokenizer or dataset.
//!
//! There are three ways in. A [`Format`] says how a block of values becomes code words and scales,
//! and back; a pair of formats is a policy. A [`TokenScorer`] gives each held token a score; the
//! lowest are evicted. The long way is the two traits above, with the parts in [`wrap`] to build
//! from. A [`Method`] gives any of them settings that `--policy FILE.toml` takes.

mod budget;
mod builtin;
mod cache;
mod calibration;
pub mod compose;
mod error;
pub mod evict;
pub mod methods;
mod place;
mod policy;
mod prompt;
mod registry;
mod scorer;
mod setting;
pub mod spec;
mod step;
pub mod testkit;
pub mod wrap;

pub use kvr_kernels::{
    Append, Axis, BlockLayout, CacheView, ChannelOrder, CodeMeaning, Context, Footprint, Format,
    LayerGeometry, Overflows, PackedCache, Packing, PartialAttention, Queries, Rope, Side, Tile,
    f16, formats,
};

pub use budget::{Budget, Recent};
pub use cache::LayerCache;
pub use calibration::LayerRows;
pub use error::{PolicyError, nearest_names};
pub use place::Place;
pub use policy::{Compression, HeadBudgets, KvCachePolicy, Promise};
pub use prompt::{Needs, Prompt};
pub use registry::{Method, MethodEntry, PolicyEntry, Registry};
pub use scorer::{EvictDefaults, Heads, Held, PromptScorer, ScorePrompt, TokenScorer};
pub use setting::Setting;
pub use spec::PolicySpec;
pub use step::Step;
