//! `dequantise`: some rows of a page as f32.

pub(super) mod cpu;
pub(super) mod launch;
