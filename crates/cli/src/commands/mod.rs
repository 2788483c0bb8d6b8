//! One command a file: its flags and what it does.

mod bench;
mod calibrate;
mod compare;
mod diff;
mod doctor;
mod eval;
mod generate;
mod list;
mod logits;
mod memory;
mod merge;
mod new;
mod plan;
mod plot;
mod policies;
mod report;
mod reproduce;
mod search;
mod show;
mod sweep;

use clap::{Parser, Subcommand};
use kvr_policy::Registry;

/// What does a key-value cache policy cost in quality, and what does it save in memory and time?
#[derive(Debug, Parser)]
#[command(name = "kvr", version, after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  kvr eval                                             five policies on the built-in model and text
  kvr eval --policy k8v4 --model tinyllama --dataset wikitext-2
  kvr eval --policy fp16,q8_0:q4_1 --mode cache-read,decode,post-prefill
  kvr plan --model llama-3-8b --budget 2GiB            longest context under each policy
  kvr sweep configs/sweeps/grid-mini.toml --out results/grid
  kvr reproduce kvsplit --model mini
  kvr compare 'The tower is' --policy fp16,k4v4
  kvr doctor";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Perplexity, divergence, memory and speed of policies on a text.
    #[command(after_help = eval::EXAMPLES)]
    Eval(eval::Args),
    /// Many evaluations from one file; goes on where it was stopped.
    #[command(after_help = sweep::EXAMPLES)]
    Sweep(sweep::Args),
    /// Joins the records of several shards.
    Merge(merge::Args),
    /// A published table beside its own measurement here.
    #[command(after_help = reproduce::EXAMPLES)]
    Reproduce(reproduce::Args),
    /// Bytes of caches, counted over live buffers; needs no weights.
    Memory(memory::Args),
    /// The longest context that fits a budget of memory; needs no weights.
    Plan(plan::Args),
    /// Measures time.
    #[command(subcommand)]
    Bench(bench::Command),
    /// Goes on with a text under one policy.
    Generate(generate::Args),
    /// Goes on with one prompt under several policies, side by side.
    Compare(compare::Args),
    /// The table of a folder or file of records.
    Show(show::Args),
    /// Two results, cell by cell, and what can't be compared.
    Diff(diff::Args),
    /// Pictures of records, as SVG and PNG.
    Plot(plot::Args),
    /// One self-contained HTML page of tables, pictures, provenance and warnings.
    Report(report::Args),
    /// Logits through a policy's cache, as safetensors.
    Logits(logits::Args),
    /// A policy for each layer, within a budget of bits.
    #[command(after_help = search::EXAMPLES)]
    Search(search::Args),
    /// Fits a method's settings to a model on a text.
    #[command(after_help = calibrate::EXAMPLES)]
    Calibrate(calibrate::Args),
    /// A crate for a policy of one's own.
    #[command(after_help = new::EXAMPLES)]
    New(new::Args),
    /// The models that have a name.
    Models,
    /// The policies, methods and storage formats, or one of them explained.
    Policies(policies::Args),
    /// The protocols and modes.
    Protocols,
    /// The texts that have a name.
    Datasets,
    /// Devices, versions and caches, for a report or a riddle.
    Doctor,
}

/// Runs the command.
pub(crate) fn dispatch(command: &Command, registry: &Registry) -> anyhow::Result<()> {
    match command {
        Command::Eval(args) => eval::run(args, registry),
        Command::Sweep(args) => sweep::run(args, registry),
        Command::Merge(args) => merge::run(args),
        Command::Reproduce(args) => reproduce::run(args, registry),
        Command::Memory(args) => memory::run(args, registry),
        Command::Plan(args) => plan::run(args, registry),
        Command::Bench(command) => bench::run(command, registry),
        Command::Generate(args) => generate::run(args, registry),
        Command::Compare(args) => compare::run(args, registry),
        Command::Show(args) => show::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Plot(args) => plot::run(args),
        Command::Report(args) => report::run(args),
        Command::Logits(args) => logits::run(args, registry),
        Command::Models => list::models(),
        Command::Calibrate(args) => calibrate::run(args, registry),
        Command::Search(args) => search::run(args, registry),
        Command::New(args) => new::run(args),
        Command::Policies(args) => policies::run(args, registry),
        Command::Protocols => list::protocols(),
        Command::Datasets => list::datasets(),
        Command::Doctor => doctor::run(),
    }
}
