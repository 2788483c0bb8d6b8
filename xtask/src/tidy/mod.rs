//! The project rules that a machine can check: one file a rule.

mod arrows;
mod circles;
mod portable;
mod sizes;
mod source;
pub(crate) mod tables;
mod words;

use std::path::Path;

use anyhow::{Result, bail};

/// Checks every rule and reports all that is broken.
pub(crate) fn check(root: &Path) -> Result<()> {
    let files = source::read(root)?;
    let mut broken = Vec::new();
    arrows::check(root, &mut broken)?;
    circles::check(&files, &mut broken);
    portable::check(root, &files, &mut broken)?;
    sizes::check(&files, &mut broken);
    words::check(&files, &mut broken);
    tables::stale(root, &files, &mut broken)?;
    if !broken.is_empty() {
        bail!("{} rule(s) broken:\n  {}", broken.len(), broken.join("\n  "));
    }
    Ok(())
}
