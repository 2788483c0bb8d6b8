//! What works on one machine and not on another: symbolic links, and the process's environment.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::source::Source;

/// Reports symbolic links, which a checkout on Windows breaks, and library code that changes the
/// environment, which other threads may be reading.
pub(crate) fn check(root: &Path, files: &[Source], broken: &mut Vec<String>) -> Result<()> {
    let output = Command::new("git")
        .args(["ls-files", "--stage"])
        .current_dir(root)
        .output()
        .context("git could not be started")?;
    for link in links(&String::from_utf8(output.stdout)?) {
        broken.push(format!("{link}: is a symbolic link: name the file where it lies"));
    }
    for file in files.iter().filter(|file| is_library(&file.path)) {
        for (number, line) in file.lines() {
            if ["set_var(", "remove_var("].iter().any(|call| line.contains(call)) {
                let path = file.path.display();
                broken.push(format!("{path}:{number}: changes the environment: pass a value"));
            }
        }
    }
    Ok(())
}

/// The symbolic links in git's list of its index: mode, object, stage, and the path after a tab.
fn links(index: &str) -> impl Iterator<Item = &str> {
    let links = index.lines().filter(|line| line.starts_with("120000 "));
    links.filter_map(|line| line.split_once('\t').map(|(_, path)| path))
}

/// Whether a file is one of `crates/*/src`.
fn is_library(path: &Path) -> bool {
    let mut parts = path.components().map(|part| part.as_os_str());
    parts.next().is_some_and(|part| part == "crates")
        && parts.nth(1).is_some_and(|part| part == "src")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_told_from_files() {
        let index = "100644 0ab 0\tREADME.md\n120000 1cd 0\tcrates/a/my configs\n";
        assert_eq!(links(index).collect::<Vec<_>>(), ["crates/a/my configs"]);
    }

    #[test]
    fn libraries_are_told_from_tests() {
        assert!(is_library(Path::new("crates/a/src/b/c.rs")));
        assert!(!is_library(Path::new("crates/a/tests/it/c.rs")));
        assert!(!is_library(Path::new("xtask/src/main.rs")));
    }
}
