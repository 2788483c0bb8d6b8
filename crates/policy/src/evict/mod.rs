//! What evicting methods are made of: choosing what stays, and caches whose heads hold different
//! tokens.

mod choice;
mod compress;
mod online;
mod per_head;
mod ragged;

pub use compress::Compress;
pub use online::Evict;
pub use per_head::{HeadCache, PerHead, host};
