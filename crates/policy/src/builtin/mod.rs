//! The policies that come with kvr, one file each.

pub mod pair;
