//! The policies that come with kvr: one file each, its source and deviations on top.

mod adaptive;
mod h2o;
mod kivi;
mod knorm;
mod kvquant;
mod pair;
mod snapkv;
mod streaming_llm;
mod tova;

use crate::Registry;
use crate::wrap::Evict;

pub use adaptive::Adaptive;
pub use h2o::H2o;
pub use kivi::Kivi;
pub use knorm::Knorm;
pub use kvquant::{KvQuant, LayerBooks};
pub use pair::{Formats, Pair};
pub use snapkv::SnapKv;
pub use streaming_llm::StreamingLlm;
pub use tova::Tova;

/// One line a method: its published settings stand beside it.
pub(crate) fn register(registry: &mut Registry) {
    macro_rules! presets {
        ($($name:literal),*) => {
            &[$(include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"), "/../../configs/policies/", $name, ".toml"
            ))),*]
        };
    }
    registry.builtin_method::<Formats>(presets!("mlx-4", "nf4"));
    registry.builtin_method::<Kivi>(presets!("kivi-4", "kivi-2", "kivi-2-no-residual"));
    registry.builtin_method::<KvQuant>(presets!());
    registry.builtin_method::<Evict<StreamingLlm>>(presets!());
    registry.builtin_method::<Evict<H2o>>(presets!());
    registry.builtin_method::<Evict<Tova>>(presets!());
    registry.builtin_method::<Evict<SnapKv>>(presets!("adakv"));
    registry.builtin_method::<Evict<Knorm>>(presets!());
    registry.builtin_method::<Adaptive>(presets!("leankv"));
}
