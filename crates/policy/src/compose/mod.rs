//! The policies that names are composed of: a pair of formats, and other policies for some layers
//! and heads.

mod by_head;
mod by_layer;
mod pair;

pub use by_layer::ByLayer;
pub use pair::Pair;
