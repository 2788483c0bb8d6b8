//! `decode`: teacher-forced token by token, windows and evictions as in generation.
//!
//! The prompt (what comes before the first scored position) is prefilled in steps of `batch`, as
//! generation does; from there on each token is a step.

use std::ops::Range;

use super::chunks;
use crate::run::protocols::Window;

pub(super) fn steps(window: &Window, batch: usize) -> Vec<Range<usize>> {
    let prompt = chunks(0..window.scored.start, batch);
    prompt.chain(chunks(window.scored.clone(), 1)).collect()
}
