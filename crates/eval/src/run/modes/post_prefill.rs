//! `post-prefill`: the prompt attends in full precision, the continuation reads the cache.
//!
//! The prompt is one step, whatever `batch` says: its attention sees all of it in f32 at once, as
//! in Hugging Face's quantised cache and most papers. A window without a prompt takes its first
//! token for one.

use std::ops::Range;
use std::sync::Arc;

use kvr_policy::KvCachePolicy;
use kvr_policy::wrap::PostPrefill;

use super::chunks;
use crate::run::protocols::Window;

/// Tokens of the prompt.
pub(super) fn prompt(window: &Window) -> usize {
    window.scored.start.max(1)
}

pub(super) fn steps(window: &Window, batch: usize) -> Vec<Range<usize>> {
    let prompt = prompt(window);
    std::iter::once(0..prompt).chain(chunks(prompt..window.scored.end, batch)).collect()
}

pub(super) fn wrap(policy: &Arc<dyn KvCachePolicy>) -> Arc<dyn KvCachePolicy> {
    Arc::new(PostPrefill(policy.clone()))
}
