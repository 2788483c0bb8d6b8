//! Policies as flags and files name them.

use std::path::Path;
use std::sync::Arc;

use kvr_policy::{KvCachePolicy, Registry};

use crate::EvalError;

/// The policy of a name that the registry knows, or of a TOML file, `FILE.toml`, which is called as
/// its `name` says or else as the file.
///
/// # Errors
/// When there is no such policy or file, or a setting in it is wrong.
pub fn find(registry: &Registry, name: &str) -> Result<Arc<dyn KvCachePolicy>, EvalError> {
    let name = name.trim();
    if !name.ends_with(".toml") {
        return Ok(registry.policy(name)?);
    }
    let text = std::fs::read_to_string(name)
        .map_err(|e| EvalError::Setting(format!("policy file {name}: {e}")))?;
    let stem = Path::new(name).file_stem().map_or(name.into(), |stem| stem.to_string_lossy());
    registry.policy_of_toml(&stem, &text).map_err(|e| match e {
        kvr_policy::PolicyError::Settings { problem, .. } => {
            EvalError::Setting(format!("policy file {name}: {problem}"))
        }
        other => other.into(),
    })
}
