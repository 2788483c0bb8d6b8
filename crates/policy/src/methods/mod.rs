//! The methods that come with kvr: one file each, its source and deviations on top.

pub mod evict;
pub mod mixed;
pub mod quantise;
