//! Model families: how a config becomes a [`ModelSpec`], and what the weights are called.
//!
//! One decoder serves all of them, so a family is data. To add one, write its file and a line in
//! [`FAMILIES`].

mod llama;

use crate::ModelError;
use crate::config::RawConfig;
use crate::spec::ModelSpec;

/// One family.
pub(crate) struct Family {
    /// Hugging Face's `model_type`.
    pub(crate) model_type: &'static str,
    /// Hugging Face's class name, for configs without a `model_type`.
    pub(crate) architecture: &'static str,
    /// Reads a config; the second argument is the file, for messages.
    pub(crate) spec: fn(&RawConfig, &str) -> Result<ModelSpec, ModelError>,
    /// What the weights are called.
    pub(crate) names: WeightNames,
}

/// Names of the weights; `{}` stands for the index of the layer.
pub(crate) struct WeightNames {
    pub(crate) embedding: &'static str,
    pub(crate) final_norm: &'static str,
    pub(crate) head: &'static str,
    pub(crate) attention_norm: &'static str,
    pub(crate) query: &'static str,
    pub(crate) key: &'static str,
    pub(crate) value: &'static str,
    pub(crate) output: &'static str,
    pub(crate) mlp_norm: &'static str,
    pub(crate) gate: &'static str,
    pub(crate) up: &'static str,
    pub(crate) down: &'static str,
    /// Endings of tensors that checkpoints carry and the decoder computes itself.
    pub(crate) ignored: &'static [&'static str],
}

/// Every family that can be run.
static FAMILIES: &[Family] = &[llama::FAMILY];

/// The family that models with random weights are made of.
pub(crate) fn llama() -> &'static Family {
    &FAMILIES[0]
}

/// The family that a config belongs to.
pub(crate) fn of(config: &RawConfig, file: &str) -> Result<&'static Family, ModelError> {
    let named = |f: &&Family| match &config.model_type {
        Some(model_type) => f.model_type == model_type,
        None => config.architectures.iter().any(|a| a == f.architecture),
    };
    FAMILIES.iter().find(named).ok_or_else(|| {
        let known: Vec<&str> = FAMILIES.iter().map(|f| f.model_type).collect();
        let what = config.model_type.clone().unwrap_or_else(|| config.architectures.join(", "));
        ModelError::file(
            file,
            format!("unknown architecture '{what}' (known: {})", known.join(", ")),
        )
    })
}
