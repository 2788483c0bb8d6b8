//! `kvr show`: the table of records that are there.

use std::path::PathBuf;

use kvr_eval::record;
use kvr_eval::report::table::{Detail, caption, records_table};

use crate::shared::args::OutputFormat;
use crate::shared::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A folder of results, or a file of records.
    records: PathBuf,
    /// Show every quantity.
    #[arg(long)]
    wide: bool,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let records = record::read(&args.records)?;
    let detail = if args.wide { Detail::Full } else { Detail::Brief };
    output::print(args.format, &records_table(&records, detail), &records)?;
    if args.format.table().is_some() {
        output::write_out(&format!("{}\n", caption(&records)))?;
    }
    output::print_warnings(&records);
    Ok(())
}
