//! The command line of kvr, over whatever policies a registry holds.
//!
//! A program with policies of its own is five lines: build a [`Registry`], add to it, call [`run`].

mod commands;
mod shared;

use std::process::ExitCode;

use clap::Parser;
use kvr_policy::Registry;

use crate::commands::{Args, dispatch};
use crate::shared::error;

/// Runs the command line that the process was started with.
///
/// Exit code 0: done. 2: the user's mistake, with one line on stderr that names it and the fix, or
/// with the place in a policy's name under which it is said.
/// 1: anything else.
pub fn run(registry: Registry) -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version are not errors; clap knows which stream each belongs to.
            let code = error.exit_code();
            return match error.print() {
                Ok(()) => ExitCode::from(code as u8),
                Err(_) => ExitCode::FAILURE,
            };
        }
    };
    match dispatch(&args.command, &registry) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{}", error::message(&failure));
            ExitCode::from(error::exit_code(&failure))
        }
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
