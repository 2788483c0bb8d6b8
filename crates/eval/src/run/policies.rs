//! Policies as flags and files name them.

use std::path::Path;
use std::sync::Arc;

use kvr_policy::{KvCachePolicy, PolicySpec, Registry};

use crate::EvalError;

/// The tree of a name, with what its files say.
///
/// # Errors
/// With the place in the name, or the file, that can't be read or understood.
pub fn spec(name: &str) -> Result<PolicySpec, EvalError> {
    let mut read = |path: &Path| std::fs::read_to_string(path).map_err(|e| e.to_string());
    Ok(name.parse::<PolicySpec>()?.read_files(&mut read)?)
}

/// The policy of a name, with what its files say.
///
/// # Errors
/// As [`spec`], and when there is no such policy, or a setting is wrong.
pub fn find(registry: &Registry, name: &str) -> Result<Arc<dyn KvCachePolicy>, EvalError> {
    Ok(registry.build(&spec(name)?)?)
}

/// The policies in order, each once: two are the same if all their settings are.
///
/// # Errors
/// When two that differ have one name, so that no table could tell them apart.
pub fn distinct(
    policies: Vec<Arc<dyn KvCachePolicy>>,
) -> Result<Vec<Arc<dyn KvCachePolicy>>, EvalError> {
    let mut kept: Vec<Arc<dyn KvCachePolicy>> = Vec::new();
    for policy in policies {
        if kept.iter().any(|other| other.config() == policy.config()) {
            continue;
        }
        if let Some(other) = kept.iter().find(|other| other.name() == policy.name()) {
            return Err(EvalError::Setting(format!(
                "two policies are called {}: one is {}, the other {}: give one another `name`",
                policy.name(),
                other.config(),
                policy.config()
            )));
        }
        kept.push(policy);
    }
    Ok(kept)
}
