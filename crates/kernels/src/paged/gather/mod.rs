//! `gather`: packed rows of one page copied to another unchanged, for caches that drop tokens.

pub(super) mod cpu;
pub(super) mod launch;

use std::sync::Arc;

use super::PageShape;

/// Rows to copy from one page to another of the same format.
#[derive(Debug, Clone)]
pub(in crate::paged) struct Move {
    /// The rows of the source, in their order in the target.
    pub(in crate::paged) rows: Arc<[u32]>,
    /// The row of the target that the first of them becomes.
    pub(in crate::paged) at: usize,
    /// Source and target; they differ in capacity at most.
    pub(in crate::paged) shapes: (PageShape, PageShape),
}
