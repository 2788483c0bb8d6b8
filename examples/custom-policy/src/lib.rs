//! Policies of your own: register them, and every command of kvr knows them.

pub mod format;
pub mod policy;
pub mod scorer;

use std::sync::Arc;

use kvr_policy::{PolicyError, Registry};

/// Everything that comes with kvr, and what this crate adds.
///
/// # Errors
/// When a name is taken.
pub fn registry() -> Result<Registry, PolicyError> {
    let mut registry = Registry::builtin();
    registry.add_format(Arc::new(format::Int8))?;
    registry.add_scorer::<scorer::ValueNorm>()?;
    registry.add_method::<policy::Clipped>()?;
    Ok(registry)
}
