//! Printing tables and records on stdout.

use std::io::Write;

use kvr_eval::record::Record;
use kvr_eval::report::table::Table;
use serde::Serialize;
use serde_json::Value;

use crate::shared::args::OutputFormat;

/// Prints the table for people, or the rows behind it for programs.
pub(crate) fn print<T: Serialize>(
    format: OutputFormat,
    table: &Table,
    rows: &[T],
) -> anyhow::Result<()> {
    let text = match format.table() {
        Some(drawn) => table.render(drawn),
        None if format == OutputFormat::Csv => csv_of(rows)?,
        None => serde_json::to_string_pretty(rows)? + "\n",
    };
    write_out(&text)
}

/// One line a row under the names of its fields; lists are joined with semicolons.
fn csv_of<T: Serialize>(rows: &[T]) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let rows = rows.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
    // Rows may lack fields that others have: the header names every field, in the order of coming.
    let mut header: Vec<&String> = Vec::new();
    for name in rows.iter().filter_map(Value::as_object).flat_map(|fields| fields.keys()) {
        if !header.contains(&name) {
            header.push(name);
        }
    }
    writer.write_record(&header)?;
    for row in &rows {
        writer.write_record(header.iter().map(|name| cell(&row[name.as_str()])))?;
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

/// What readers of records should know, each warning once, on stderr.
pub(crate) fn print_warnings(records: &[Record]) {
    let mut said: Vec<&String> = Vec::new();
    for warning in records.iter().flat_map(|record| &record.warnings) {
        if !said.contains(&warning) {
            eprintln!("warning: {warning}");
            said.push(warning);
        }
    }
}

/// Writes to stdout; a closed pipe is not an error.
pub(crate) fn write_out(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
