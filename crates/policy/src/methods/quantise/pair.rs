//! One storage format for keys and one for values, the same in every layer.
//!
//! Source: the cache types of llama.cpp (`--cache-type-k`, `--cache-type-v`), and KVSplit, which
//! gave keys more bits than values (`k8v4`) on top of them. Deviation: any two formats go together
//! on every device, and head_dim has only to be a multiple of the formats' blocks.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::compose::Pair;
use crate::spec::PolicySpec;
use crate::{KvCachePolicy, PolicyError, Registry};
use crate::{Method, Setting};

/// The settings of `pair`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Formats {
    /// Format of keys.
    pub keys: String,
    /// Format of values.
    pub values: String,
}

impl Default for Formats {
    fn default() -> Self {
        Self { keys: "q8_0".to_owned(), values: "q4_0".to_owned() }
    }
}

impl Method for Formats {
    const NAME: &'static str = "pair";
    const SUMMARY: &'static str = "one format for keys and one for values; also <keys>:<values>";
    const SOURCE: &'static str = "llama.cpp's cache types; KVSplit";

    fn settings() -> Vec<Setting> {
        vec![
            Setting { name: "keys", unit: "format", about: "format of keys, such as a4g64" },
            Setting { name: "values", unit: "format", about: "format of values" },
        ]
    }

    fn short(&self) -> Option<PolicySpec> {
        Some(PolicySpec::pair(&self.keys, &self.values))
    }

    fn policy(self, registry: &Registry) -> Result<Arc<dyn KvCachePolicy>, PolicyError> {
        let (keys, values) = (registry.format(&self.keys)?, registry.format(&self.values)?);
        Ok(Arc::new(Pair::new(Self::NAME, keys, values)))
    }
}
