//! What the tests of several crates share: how a test skips, goldens, a hub to download from.

pub mod fake_hub;
mod files;
mod skip;

pub use self::files::{copy, f32s, model_golden, real_model, shared_goldens, u32s, wikitext};
pub use self::skip::{REPORT, skip, skip_outside_ci};
