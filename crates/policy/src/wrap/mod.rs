//! Policies made of policies: one idea a file, and each is a policy itself.

pub(crate) mod by_head;
pub mod by_layer;
pub mod evict;
pub mod on_matrices;
pub mod per_head;
pub mod post_prefill;
pub mod rekey;
pub mod rotate;
mod selector;
pub mod window;

use crate::Registry;

pub use by_layer::ByLayer;
pub use evict::Evict;
pub use on_matrices::OnMatrices;
pub use per_head::{HeadCache, PerHead};
pub use post_prefill::PostPrefill;
pub use rekey::{PreRope, Rekey, Rekeyed};
pub use rotate::Rotate;
pub use window::Window;

pub(crate) fn register(registry: &mut Registry) {
    macro_rules! preset {
        ($name:literal) => {
            include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../configs/policies/",
                $name,
                ".toml"
            ))
        };
    }
    registry.builtin_method::<by_layer::Rules>(&[]);
    registry.builtin_method::<Window>(&[preset!("k4v4-window"), preset!("hf-4"), preset!("hf-2")]);
    registry.builtin_method::<Rotate>(&[
        preset!("k4v4-rotated"),
        preset!("quarot-4"),
        preset!("turboquant-3"),
        preset!("turboquant-4"),
    ]);
    registry.builtin_method::<PreRope>(&[]);
}
