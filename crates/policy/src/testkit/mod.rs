//! What every policy must satisfy, as functions that a policy's own tests call.
//!
//! [`contract::check`] runs every rule on one policy. Rows are random with an outlier channel, as
//! keys have; two sequences of a batch differ, and steps come in several sizes.

pub mod contract;
mod failure;
mod heap;
mod rows;

pub use failure::Failure;
pub use heap::CountingHeap;
pub use rows::Rows;
