//! `cargo xtask check`: every check of the project, cheapest first.

mod tidy;

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

const USAGE: &str = "usage: cargo xtask check | tidy | tables
  check   tidy, formatting, lints, documentation and tests
  tidy    the house rules alone: seconds
  tables  writes the tables in documents anew from results/";

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let task = std::env::args().nth(1).unwrap_or_default();
    let done = match task.as_str() {
        "check" => check(root),
        "tidy" => tidy::check(root),
        "tables" => tidy::tables::write(root),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {task}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn check(root: &Path) -> Result<()> {
    println!("== tidy");
    tidy::check(root)?;
    run(root, &["fmt", "--all", "--check"], &[])?;
    // All in the release profile and over the same packages, so that a machine builds the
    // dependencies once. candle is left out and tested on its own: see tests/candle/Cargo.toml.
    let workspace = ["--release", "--workspace", "--exclude", "candle-reference"];
    let with = |first: &[&'static str], last: &[&'static str]| [first, &workspace, last].concat();
    run(root, &with(&["clippy"], &["--all-targets", "--", "-D", "warnings"]), &[])?;
    run(root, &with(&["doc"], &["--no-deps"]), &[("RUSTDOCFLAGS", "-D warnings")])?;
    run(root, &["build", "--release", "-p", "kvr"], &[])?;
    run(root, &["test", "--release", "-p", "candle-reference"], &[])?;
    let nextest = Command::new("cargo").args(["nextest", "--version"]).output();
    if nextest.is_ok_and(|output| output.status.success()) {
        run(root, &with(&["test", "--doc"], &[]), &[])?;
        run(root, &with(&["nextest", "run"], &[]), &[])
    } else {
        run(root, &with(&["test"], &[]), &[])
    }
}

fn run(root: &Path, args: &[&str], env: &[(&str, &str)]) -> Result<()> {
    println!("== cargo {}", args.join(" "));
    let status = Command::new("cargo")
        .args(args)
        .envs(env.iter().copied())
        .current_dir(root)
        .status()
        .context("cargo could not be started")?;
    if !status.success() {
        bail!("cargo {} failed", args.join(" "));
    }
    Ok(())
}
