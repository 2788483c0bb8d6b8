//! One command a file: its flags and what it does.

pub(crate) mod doctor;
pub(crate) mod eval;
pub(crate) mod list;
pub(crate) mod logits;
pub(crate) mod memory;
pub(crate) mod merge;
pub(crate) mod show;
pub(crate) mod sweep;
