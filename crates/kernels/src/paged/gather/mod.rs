//! `gather`: packed rows of one page copied to another as they are, for caches that forget tokens.

pub(super) mod cpu;
pub(super) mod launch;
