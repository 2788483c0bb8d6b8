//! Policies made of policies: one idea a file, and each is a policy itself.

pub mod by_head;
pub mod by_layer;
pub mod post_prefill;
mod selector;

pub use by_layer::ByLayer;
pub use post_prefill::PostPrefill;
