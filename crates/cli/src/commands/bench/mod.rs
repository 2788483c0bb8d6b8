//! `kvr bench`: measures time.

mod attention;
mod speed;

use clap::Subcommand;
use kvr_policy::Registry;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Tokens per second of prefill and decode, and time to the first token, at any depth.
    Speed(speed::Args),
    /// Attention of one layer over a filled cache; needs no weights.
    #[command(after_help = attention::EXAMPLES)]
    Attention(attention::Args),
}

pub(crate) fn run(command: &Command, registry: &Registry) -> anyhow::Result<()> {
    match command {
        Command::Speed(args) => speed::run(args, registry),
        Command::Attention(args) => attention::run(args, registry),
    }
}
