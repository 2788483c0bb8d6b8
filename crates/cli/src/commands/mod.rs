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
    /// Measure perplexity, divergence, memory and speed of policies on a text.
    #[command(after_help = eval::EXAMPLES)]
    Eval(eval::Args),
    /// Run many evaluations from one file; resumes where it was stopped.
    #[command(after_help = sweep::EXAMPLES)]
    Sweep(sweep::Args),
    /// Join the records of several shards.
    Merge(merge::Args),
    /// Compare a published table with the same quantities measured here.
    #[command(after_help = reproduce::EXAMPLES)]
    Reproduce(reproduce::Args),
    /// Count the bytes of caches over live buffers; needs no weights.
    Memory(memory::Args),
    /// Find the longest context that fits a memory budget; needs no weights.
    Plan(plan::Args),
    /// Measure time.
    #[command(subcommand)]
    Bench(bench::Command),
    /// Continue a prompt under one policy.
    Generate(generate::Args),
    /// Continue one prompt under several policies, side by side.
    Compare(compare::Args),
    /// Print the table of a folder or file of records.
    Show(show::Args),
    /// Compare two results cell by cell, and say what is not comparable.
    Diff(diff::Args),
    /// Draw figures from records, as SVG and PNG.
    Plot(plot::Args),
    /// Write one self-contained HTML page of tables, figures, provenance and warnings.
    Report(report::Args),
    /// Write logits computed through a policy's cache, as safetensors.
    Logits(logits::Args),
    /// Find a policy for each layer, within a budget of bits.
    #[command(after_help = search::EXAMPLES)]
    Search(search::Args),
    /// Fit a method's settings to a model on a text.
    #[command(after_help = calibrate::EXAMPLES)]
    Calibrate(calibrate::Args),
    /// Write a crate for a policy of your own.
    #[command(after_help = new::EXAMPLES)]
    New(new::Args),
    /// List the models that have a name.
    Models,
    /// List the policies, methods and storage formats, or explain one of them.
    Policies(policies::Args),
    /// List the protocols and modes.
    Protocols,
    /// List the texts that have a name.
    Datasets,
    /// Print devices, versions and caches, for bug reports.
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
