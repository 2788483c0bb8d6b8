//! Policies made of policies: one idea a file, and each is a policy itself.

pub(crate) mod by_head;
pub mod by_layer;
pub mod evict;
pub mod on_matrices;
pub mod per_head;
pub mod post_prefill;
pub mod rekey;
pub mod rotate;
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
    registry.builtin_method::<by_layer::Rules>(&[]);
    registry.builtin_method::<Window>(&[
        include_str!("../../configs/k4v4-window.toml"),
        include_str!("../../configs/hf-4.toml"),
        include_str!("../../configs/hf-2.toml"),
    ]);
    registry.builtin_method::<Rotate>(&[
        include_str!("../../configs/k4v4-rotated.toml"),
        include_str!("../../configs/quarot-4.toml"),
        include_str!("../../configs/turboquant-3.toml"),
        include_str!("../../configs/turboquant-4.toml"),
    ]);
    registry.builtin_method::<PreRope>(&[]);
}
