//! The command line of kvr, over whatever policies a registry holds.
//!
//! A program with policies of its own is five lines: build a [`Registry`], add to it, call [`run`].

mod args;
mod backend;
mod commands;
mod error;
mod output;
mod provenance;
mod workbench;

use std::process::ExitCode;

use clap::Parser;
use kvr_policy::Registry;

use crate::args::{Args, Command};

/// Runs the command line that the process was started with.
///
/// Exit code 0: done. 2: the user's mistake, with one line on stderr that names it and the fix, or
/// with the place in a policy's name under which it is said.
/// 1: anything else.
pub fn run(registry: Registry) -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version are no errors; clap knows which stream each belongs to.
            let code = error.exit_code();
            return match error.print() {
                Ok(()) => ExitCode::from(code as u8),
                Err(_) => ExitCode::FAILURE,
            };
        }
    };
    backend::quiet_vulkan();
    match dispatch(&args.command, &registry) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{}", error::message(&failure));
            ExitCode::from(error::exit_code(&failure))
        }
    }
}

fn dispatch(command: &Command, registry: &Registry) -> anyhow::Result<()> {
    match command {
        Command::Eval(args) => commands::eval::run(args, registry),
        Command::Sweep(args) => commands::sweep::run(args, registry),
        Command::Merge(args) => commands::merge::run(args),
        Command::Reproduce(args) => commands::reproduce::run(args, registry),
        Command::Memory(args) => commands::memory::run(args, registry),
        Command::Plan(args) => commands::plan::run(args, registry),
        Command::Bench(command) => commands::bench::run(command, registry),
        Command::Generate(args) => commands::generate::run(args, registry),
        Command::Compare(args) => commands::compare::run(args, registry),
        Command::Show(args) => commands::show::run(args),
        Command::Diff(args) => commands::diff::run(args),
        Command::Plot(args) => commands::plot::run(args),
        Command::Report(args) => commands::report::run(args),
        Command::Logits(args) => commands::logits::run(args, registry),
        Command::Models => commands::list::models(),
        Command::Calibrate(args) => commands::calibrate::run(args, registry),
        Command::Search(args) => commands::search::run(args, registry),
        Command::New(args) => commands::new::run(args),
        Command::Policies(args) => commands::policies::run(args, registry),
        Command::Protocols => commands::list::protocols(),
        Command::Datasets => commands::list::datasets(),
        Command::Doctor => commands::doctor::run(),
    }
}

/// The Rust blocks of the README are compiled with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// So are those of the guide for authors of policies.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/writing-a-policy.md")]
struct WritingAPolicy;
