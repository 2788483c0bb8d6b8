//! The house rules that a machine can check.

pub(crate) mod tables;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Lines after which a file should be two.
const LONGEST_FILE: usize = 500;

/// Lines of the README at most: two minutes of reading.
const LONGEST_README: usize = 150;

/// What each crate may depend on of the house.
const LAYERS: [(&str, &[&str]); 4] = [
    ("policy", &[]),
    ("models", &["kvr-policy"]),
    ("eval", &["kvr-policy", "kvr-models"]),
    ("cli", &["kvr-policy", "kvr-models", "kvr-eval"]),
];

/// Checks every rule and reports all that is broken.
pub(crate) fn check(root: &Path) -> Result<()> {
    let mut broken = Vec::new();
    let files = tracked(root)?;
    for file in &files {
        let Ok(text) = std::fs::read_to_string(root.join(file)) else { continue };
        sizes(file, &text, &mut broken);
        words(file, &text, &mut broken);
    }
    layers(root, &mut broken)?;
    tables::stale(root, &files, &mut broken)?;
    if !broken.is_empty() {
        bail!("{} rule(s) broken:\n  {}", broken.len(), broken.join("\n  "));
    }
    Ok(())
}

/// Files that git tracks or would track.
fn tracked(root: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("git could not be started")?;
    let names = String::from_utf8(output.stdout)?;
    Ok(names.lines().map(PathBuf::from).filter(|f| root.join(f).is_file()).collect())
}

fn is_code(file: &Path) -> bool {
    file.extension().is_some_and(|e| e == "rs" || e == "wgsl")
}

fn sizes(file: &Path, text: &str, broken: &mut Vec<String>) {
    let lines = text.lines().count();
    if is_code(file) && lines > LONGEST_FILE {
        broken.push(format!("{}: {lines} lines, split before {LONGEST_FILE}", file.display()));
    }
    if file == Path::new("README.md") && lines > LONGEST_README {
        broken.push(format!("README.md: {lines} lines, at most {LONGEST_README}"));
    }
}

fn words(file: &Path, text: &str, broken: &mut Vec<String>) {
    if file.starts_with("xtask") || !is_code(file) {
        return;
    }
    for word in ["todo!(", "unimplemented!(", "#[ignore", "dbg!("] {
        if text.contains(word) {
            broken.push(format!("{}: {word} has no place on main", file.display()));
        }
    }
    // Models and evaluation speak to policies through the interface only.
    let source = file.starts_with("crates/models/src") || file.starts_with("crates/eval/src");
    if source && (text.contains("builtin::") || text.contains("PackedCache")) {
        broken.push(format!("{}: names a concrete policy", file.display()));
    }
    if file.starts_with("crates")
        && text.lines().next().is_some_and(|l| !l.starts_with("//"))
        && file.extension().is_some_and(|e| e == "rs")
    {
        broken.push(format!("{}: does not say on top what it is", file.display()));
    }
}

fn layers(root: &Path, broken: &mut Vec<String>) -> Result<()> {
    for (name, allowed) in LAYERS {
        let path = root.join("crates").join(name).join("Cargo.toml");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        for line in text.lines().filter(|line| line.starts_with("kvr-")) {
            let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if !allowed.contains(&dependency) {
                broken.push(format!("crates/{name} must not depend on {dependency}"));
            }
        }
    }
    Ok(())
}
