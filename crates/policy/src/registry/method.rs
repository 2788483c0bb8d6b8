//! A method: a family of policies with settings, each setting with a name, a unit and a default.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Registry;
use crate::spec::PolicySpec;
use crate::{KvCachePolicy, LayerRows, PolicyError, Setting};

/// A family of policies. Its fields are the settings that `--policy FILE.toml` and
/// `name(setting=value;…)` take, and `Default` gives their defaults.
pub trait Method: Default + Serialize + DeserializeOwned + 'static {
    /// The name that `method = "…"` and `name(…)` use.
    const NAME: &'static str;
    /// One line for `kvr policies`.
    const SUMMARY: &'static str;
    /// The paper or program that it comes from.
    const SOURCE: &'static str;

    /// The setting that a first value without a name sets, as in `window(k4v4)`.
    const INNER: &'static str = "policy";

    /// What each setting means, in the order of the fields.
    fn settings() -> Vec<Setting>;

    /// Another form of the name that says the same, where the notation has one:
    /// `pair(keys=q8_0;values=q4_0)` is `q8_0:q4_0`.
    fn short(&self) -> Option<PolicySpec> {
        None
    }

    /// The policy with these settings. `registry` knows the policies and formats that settings
    /// name; what the policy calls itself is replaced by what it was asked for as.
    ///
    /// # Errors
    /// When a setting makes no sense, or names what does not exist.
    fn policy(self, registry: &Registry) -> Result<Arc<dyn KvCachePolicy>, PolicyError>;

    /// Fits settings to what a model wrote on a text, one entry a layer: `kvr calibrate`.
    ///
    /// # Errors
    /// When the method has nothing to fit, or a setting makes no sense.
    fn calibrate(&mut self, rows: &[LayerRows]) -> Result<(), PolicyError> {
        let _ = rows;
        Err(PolicyError::Unsupported {
            what: format!("{} has nothing to calibrate", Self::NAME),
            fix: "use it as it is".to_owned(),
        })
    }
}
