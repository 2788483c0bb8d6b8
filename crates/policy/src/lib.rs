//! The plug point of kvr: key-value cache policies, storage formats and their kernels.
//!
//! A [`KvCachePolicy`] makes one [`LayerCache`] a layer; a model takes steps through it. This crate
//! knows no model, file, tokenizer or dataset.
//!
//! There are three ways in. A [`Format`] says how a block of values becomes code words and scales,
//! and back; a pair of formats is a policy. A [`TokenScorer`] gives each held token a score; the
//! lowest are evicted. The long way is the two traits above, with the parts in [`wrap`] and
//! [`packed`] to build from. A [`Method`] gives any of them settings that `--policy FILE.toml` takes.

mod attended;
mod budget;
pub mod builtin;
mod calibration;
mod error;
mod footprint;
pub mod formats;
pub mod kernels;
mod method;
pub mod packed;
mod place;
mod policy;
mod registry;
mod scorer;
mod shape;
pub mod spec;
mod step;
pub mod testkit;
mod view;
pub mod wrap;

pub use half::f16;

pub use attended::{Attended, NOTHING};
pub use budget::Budget;
pub use calibration::LayerRows;
pub use error::{PolicyError, nearest_names};
pub use footprint::Footprint;
pub use formats::{BlockLayout, Digits, Format, Packing};
pub use method::{Method, MethodEntry, Setting};
pub use packed::{PackedCache, Side};
pub use place::Place;
pub use policy::{KvCachePolicy, LayerCache, Promise};
pub use registry::{PolicyEntry, Registry};
pub use scorer::{EvictDefaults, Heads, Held, TokenScorer};
pub use shape::{LayerGeometry, Rope};
pub use spec::PolicySpec;
pub use step::{Append, Queries, Step};
pub use view::{CacheView, Tile, rows};
