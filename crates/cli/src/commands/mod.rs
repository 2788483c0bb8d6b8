//! One command a file: its flags and what it does.

pub(crate) mod bench;
pub(crate) mod calibrate;
pub(crate) mod compare;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod eval;
pub(crate) mod generate;
pub(crate) mod list;
pub(crate) mod logits;
pub(crate) mod memory;
pub(crate) mod merge;
pub(crate) mod new;
pub(crate) mod plan;
pub(crate) mod plot;
pub(crate) mod policies;
pub(crate) mod report;
pub(crate) mod reproduce;
pub(crate) mod search;
pub(crate) mod show;
pub(crate) mod sweep;
