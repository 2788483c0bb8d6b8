//! What several tests need: goldens, models, no network.

use burn::tensor::Device;
use kvr_kernels::Context;
use kvr_models::{Hub, Model, ModelSource};

/// A hub that is switched off.
pub(crate) fn no_hub() -> Hub {
    Hub { offline: true, ..Hub::from_env() }
}

/// The model that is part of the program.
pub(crate) fn mini() -> Model {
    ModelSource::Mini
        .load(&no_hub(), &Context::new(&Device::flex()))
        .expect("mini is part of the program")
}
