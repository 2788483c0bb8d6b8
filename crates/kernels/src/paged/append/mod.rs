//! `append_quantised`: rows in, codes and scales written in place at an offset.

pub(super) mod cpu;
pub(super) mod launch;
