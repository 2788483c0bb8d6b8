//! Tests of the policy crate through its public door.

mod attention;
mod cache;
mod contract;
mod evict;
mod gpu;
mod kvquant;
mod numbers;
mod support;
mod wrap;
