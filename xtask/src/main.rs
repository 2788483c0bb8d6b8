//! `cargo xtask check`: every check of the project, cheapest first.

mod skipped;
mod tidy;

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

const USAGE: &str = "usage: cargo xtask check | tidy | tables
  check   tidy, formatting, lints, documentation and tests
  tidy    the project rules alone: seconds
  tables  rewrites the tables in documents from results/";

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
    run(root, &workspace(&["clippy"], &["--all-targets", "--", "-D", "warnings"]), &[])?;
    run(root, &workspace(&["doc"], &["--no-deps"]), &[("RUSTDOCFLAGS", "-D warnings")])?;
    run(root, &["build", "--release", "-p", "kvr"], &[])?;
    run(root, &["test", "--release", "-p", "candle-reference"], &[])?;
    let report = skipped::Report::begin()?;
    let tested = tests(root, &[report.variable()]);
    println!("{}", report.summary());
    tested
}

/// A command over the workspace. All are in the release profile and over the same packages, so that
/// a machine builds the dependencies once. candle is left out and tested on its own: see
/// tests/candle/Cargo.toml.
fn workspace<'a>(first: &[&'a str], last: &[&'a str]) -> Vec<&'a str> {
    [first, &["--release", "--workspace", "--exclude", "candle-reference"], last].concat()
}

/// Runs the workspace's tests, with nextest where it is installed.
fn tests(root: &Path, env: &[(&str, &str)]) -> Result<()> {
    let nextest = Command::new("cargo").args(["nextest", "--version"]).output();
    if nextest.is_ok_and(|output| output.status.success()) {
        run(root, &workspace(&["test", "--doc"], &[]), env)?;
        run(root, &workspace(&["nextest", "run"], &[]), env)
    } else {
        run(root, &workspace(&["test"], &[]), env)
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
