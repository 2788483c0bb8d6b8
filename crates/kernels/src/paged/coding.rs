//! How one side of a cache is coded.

use std::sync::Arc;

use super::programs::PagePrograms;
use crate::formats::Format;
use crate::overflows::OverflowCounter;

/// How a side is coded: its format, and on a GPU the programs of it.
#[derive(Debug, Clone)]
pub(super) struct Coding {
    pub(super) format: Arc<dyn Format>,
    pub(super) programs: Option<PagePrograms>,
    /// Counts what the format can't hold.
    pub(super) counter: OverflowCounter,
}

impl Coding {
    pub(super) fn programs(&self) -> &PagePrograms {
        self.programs.as_ref().expect("Rows::new makes the programs of every side on a GPU")
    }
}
