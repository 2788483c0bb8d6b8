//! `cache-read`: every query, its own token included, reads what the policy stored.
//!
//! Steps of `batch` tokens: keys and values are stored before attention reads them, as in
//! llama.cpp. For a streaming-exact policy the size of the step does not matter.

use std::ops::Range;

use super::chunks;
use crate::run::protocols::Window;

pub(super) fn steps(window: &Window, batch: usize) -> Vec<Range<usize>> {
    chunks(0..window.scored.end, batch).collect()
}
