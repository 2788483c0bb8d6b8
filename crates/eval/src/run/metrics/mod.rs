//! Numbers from logits, and their uncertainty.

pub mod rows;
pub mod stats;
