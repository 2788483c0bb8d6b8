//! Tests that skipped, counted: each adds its reason to a file (`tests/support/src/skip.rs`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// The environment variable that tells tests the file: `kvr_testing::REPORT`.
const VARIABLE: &str = "KVR_SKIPPED";

/// The file of one run, removed at its end.
pub(crate) struct Report {
    path: PathBuf,
    text: String,
}

impl Report {
    /// Begins with an empty file.
    pub(crate) fn begin() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("kvr-skipped-{}.txt", std::process::id()));
        std::fs::write(&path, "").with_context(|| path.display().to_string())?;
        let text = path.to_str().context("the temporary folder's name is not UTF-8")?.to_owned();
        Ok(Self { path, text })
    }

    /// What the environment of tests needs.
    pub(crate) fn variable(&self) -> (&str, &str) {
        (VARIABLE, &self.text)
    }

    /// How many tests skipped, and why.
    pub(crate) fn summary(&self) -> String {
        summary(&std::fs::read_to_string(&self.path).unwrap_or_default())
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        // A file that stays in the temporary folder harms nobody.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// One line a reason, each with its number of tests.
fn summary(reasons: &str) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in reasons.lines() {
        *counts.entry(reason).or_default() += 1;
    }
    if counts.is_empty() {
        return "0 skipped".to_owned();
    }
    let total: usize = counts.values().sum();
    let lines = counts.iter().map(|(reason, count)| format!("\n  {count} × {reason}"));
    format!("{total} skipped, because:{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted() {
        assert_eq!(summary(""), "0 skipped");
        let said = summary("no Slurm\nno adapter\nno Slurm\n");
        assert_eq!(said, "3 skipped, because:\n  2 × no Slurm\n  1 × no adapter");
    }
}
