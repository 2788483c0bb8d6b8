//! Methods that mix precisions and eviction.

mod adaptive;

pub use adaptive::Adaptive;
