//! `dequantise`: the first tokens of a page as f32 rows.

pub(super) mod cpu;
pub(super) mod launch;
