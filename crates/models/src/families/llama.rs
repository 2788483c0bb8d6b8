//! Llama (Touvron et al. 2023) and whatever calls itself `LlamaForCausalLM`: TinyLlama, SmolLM 1
//! and 2, Llama 2 and 3.

use super::base::{decoder, set_attention_bias};
use super::{Family, WeightNames};
use crate::ModelError;
use crate::config::{Config, RopeKeys};
use crate::spec::ModelSpec;

pub(super) const FAMILY: Family = Family {
    model_types: &["llama"],
    architectures: &["LlamaForCausalLM"],
    spec,
    names: WeightNames::LLAMA,
};

fn spec(config: Config) -> Result<ModelSpec, ModelError> {
    let mut spec = decoder(&config, RopeKeys::default())?;
    set_attention_bias(&mut spec, &config)?;
    let bias = config.flag("mlp_bias", false)?;
    spec.layers.iter_mut().for_each(|layer| layer.mlp.bias = bias);
    Ok(spec)
}
