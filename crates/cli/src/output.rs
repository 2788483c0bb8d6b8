//! Printing tables and records on stdout.

use std::io::Write;

use kvr_eval::table::{Format, Table};
use serde::Serialize;

use crate::args::OutputFormat;

/// Prints the table, or as JSON the rows behind it.
pub(crate) fn print<T: Serialize>(
    format: OutputFormat,
    table: &Table,
    rows: &[T],
) -> anyhow::Result<()> {
    let text = match format {
        OutputFormat::Table => table.render(Format::Text)?,
        OutputFormat::Markdown => table.render(Format::Markdown)?,
        OutputFormat::Csv => table.render(Format::Csv)?,
        OutputFormat::Json => serde_json::to_string_pretty(rows)? + "\n",
    };
    write_out(&text)
}

/// Writes to stdout; a reader that has gone away is no error.
pub(crate) fn write_out(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
