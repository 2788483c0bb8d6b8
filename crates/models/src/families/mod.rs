//! Model families: how a config becomes a [`ModelSpec`], and what the weights are called.
//!
//! One decoder serves all of them, so a family is data. To add one, write its file and a line in
//! [`FAMILIES`].

mod base;
mod gemma2;
mod gemma3;
mod llama;
mod mistral;
mod names;
mod phi3;
mod qwen2;
mod qwen3;
mod smollm3;

use crate::ModelError;
use crate::config::{Config, refuse_unsupported};
use crate::spec::ModelSpec;

pub(crate) use names::WeightNames;

/// One family.
pub(crate) struct Family {
    /// Hugging Face's `model_type`, and its other names.
    model_types: &'static [&'static str],
    /// Hugging Face's class names, for configs without a `model_type`.
    architectures: &'static [&'static str],
    /// Reads a config.
    spec: fn(Config) -> Result<ModelSpec, ModelError>,
    /// What the weights are called.
    pub(crate) names: WeightNames,
}

/// Every family that can be run.
static FAMILIES: &[Family] = &[
    llama::FAMILY,
    mistral::FAMILY,
    qwen2::FAMILY,
    qwen3::FAMILY,
    phi3::FAMILY,
    gemma2::FAMILY,
    gemma3::FAMILY,
    smollm3::FAMILY,
];

/// The family of a config, and the model that it describes.
///
/// # Errors
/// When kvr does not run such models, or a value can't be used; the key is named.
pub(crate) fn read(config: &Config) -> Result<(&'static Family, ModelSpec), ModelError> {
    refuse_unsupported(config)?;
    let family = of(config)?;
    let spec = (family.spec)(config.clone())?;
    Ok((family, spec))
}

/// The family that a config belongs to.
fn of(config: &Config) -> Result<&'static Family, ModelError> {
    let model_type = config.text("model_type")?;
    let architectures: Vec<&str> = config
        .list("architectures")?
        .unwrap_or_default()
        .iter()
        .filter_map(|a| a.as_str())
        .collect();
    let named = |family: &&Family| match model_type {
        Some(model_type) => family.model_types.contains(&model_type),
        None => architectures.iter().any(|a| family.architectures.contains(a)),
    };
    if model_type.is_none() && architectures.is_empty() {
        return Err(config.missing("model_type"));
    }
    FAMILIES.iter().find(named).ok_or_else(|| {
        let known: Vec<&str> = FAMILIES.iter().map(|family| family.model_types[0]).collect();
        let what = model_type.map_or_else(|| architectures.join(", "), str::to_owned);
        config.error(format!("unknown architecture '{what}' (known: {})", known.join(", ")))
    })
}
