//! Printing tables and records on stdout.

use std::io::Write;

use kvr_eval::table::{Format, Table};
use serde::Serialize;
use serde_json::Value;

use crate::args::OutputFormat;

/// Prints the table for people, or the rows behind it for programs.
pub(crate) fn print<T: Serialize>(
    format: OutputFormat,
    table: &Table,
    rows: &[T],
) -> anyhow::Result<()> {
    let text = match format {
        OutputFormat::Table => table.render(Format::Text),
        OutputFormat::Markdown => table.render(Format::Markdown),
        OutputFormat::Csv => csv_of(rows)?,
        OutputFormat::Json => serde_json::to_string_pretty(rows)? + "\n",
    };
    write_out(&text)
}

/// One line a row under the names of its fields; lists are joined with semicolons.
fn csv_of<T: Serialize>(rows: &[T]) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for (i, row) in rows.iter().enumerate() {
        let Value::Object(fields) = serde_json::to_value(row)? else { continue };
        if i == 0 {
            writer.write_record(fields.keys())?;
        }
        writer.write_record(fields.values().map(cell))?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join("; "),
        other => other.to_string(),
    }
}

/// Writes to stdout; a reader that has gone away is no error.
pub(crate) fn write_out(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
