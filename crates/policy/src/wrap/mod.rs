//! Policies made of policies: one idea a file, and each is a policy itself.

mod by_layer;
mod post_prefill;
mod pre_rope;
mod rotate;
mod window;
mod wrapped;

pub use by_layer::Rules;
pub use post_prefill::PostPrefill;
pub use pre_rope::{PreRope, rope_of};
pub use rotate::Rotate;
pub use window::{Window, Windowed};
pub use wrapped::{Wrap, Wrapped};
