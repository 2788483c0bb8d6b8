//! Geometries of well-known models, for memory and speed where no weights are at hand.
//!
//! Source: the `config.json` of each repository on the Hugging Face hub.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::config::Config;
use crate::families::{self, Family};
use crate::spec::{Geometry, ModelSpec};

/// By name, what kvr needs of each config.
const FILE: &str = include_str!("../geometries.json");

static CONFIGS: LazyLock<Map<String, Value>> =
    LazyLock::new(|| serde_json::from_str(FILE).expect("a file of this crate, read by its tests"));

/// The names of the built-in geometries.
pub fn names() -> impl Iterator<Item = &'static str> + Clone {
    CONFIGS.keys().map(String::as_str)
}

/// The geometry of that name, or `None`.
pub fn named(name: &str) -> Option<Geometry> {
    Some(model(name)?.1.geometry)
}

/// The model of that name, or `None`.
pub(crate) fn model(name: &str) -> Option<(&'static Family, ModelSpec)> {
    let config = Config::from_value(CONFIGS.get(name)?.clone(), "geometries.json");
    let read = config.and_then(|config| families::read(&config));
    Some(read.expect("a config of this crate, read by its tests"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_config_is_read() {
        let models: BTreeMap<_, _> =
            names().map(|name| (name, model(name).expect("its own name").1)).collect();
        assert_eq!(models["tinyllama"].geometry.values_per_token(), 2 * 22 * 4 * 64);
        assert_eq!(models["phi-3-mini"].geometry.head_dim, 96);
        assert_eq!(models["mistral-7b"].geometry.window(31), Some(4096));
        let gemma = &models["gemma-3-270m"].geometry;
        let all: Vec<usize> = (0..18).filter(|l| gemma.window(*l).is_none()).collect();
        assert_eq!(all, [5, 11, 17]);
        let one = 2 * 256;
        assert_eq!(gemma.values(1), 18 * one);
        assert_eq!(gemma.values(1024), (15 * 512 + 3 * 1024) * one);
    }
}
