//! Tests of the policy crate through its public door.

mod attention;
mod cache;
mod contract;
mod formats;
mod gpu;
mod shaders;
mod support;
mod wrap;
