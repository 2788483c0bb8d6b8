//! Numbers from logits, and their uncertainty.

pub mod nll;
pub mod stats;
