//! The files that the rules look at.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// A text file of the repository.
pub(crate) struct Source {
    /// Relative to the root of the repository.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

impl Source {
    /// Whether the file's name ends in `.extension`.
    pub(crate) fn is(&self, extension: &str) -> bool {
        self.path.extension().is_some_and(|e| e == extension)
    }

    /// Lines with their numbers, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(i, line)| (i + 1, line))
    }
}

/// Files that git tracks or would track.
pub(crate) fn tracked(root: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("git could not be started")?;
    let names = String::from_utf8(output.stdout)?;
    Ok(names.lines().map(PathBuf::from).filter(|f| root.join(f).is_file()).collect())
}

/// The tracked files that are UTF-8.
pub(crate) fn read(root: &Path) -> Result<Vec<Source>> {
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(root.join(&path)).ok()?;
        Some(Source { path, text })
    };
    Ok(tracked(root)?.into_iter().filter_map(read).collect())
}
