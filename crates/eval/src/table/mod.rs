//! Tables for people and for programs, made of records.

mod eval;

use comfy_table::{CellAlignment, ContentArrangement, presets};

pub use eval::eval_table;

use crate::EvalError;

/// How a table is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Lines and columns for a terminal.
    Text,
    /// A Markdown table.
    Markdown,
    /// Comma-separated values.
    Csv,
}

/// A table: the first column is text, the others are numbers.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// Column headings, units included.
    pub header: Vec<String>,
    /// Rows as wide as the header.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// The table as text, ending in a line break.
    ///
    /// # Errors
    /// Never in practice: memory is the only thing that CSV is written to.
    pub fn render(&self, format: Format) -> Result<String, EvalError> {
        if format == Format::Csv {
            let error = |e: String| EvalError::Setting(format!("csv: {e}"));
            let mut writer = csv::Writer::from_writer(Vec::new());
            for row in std::iter::once(&self.header).chain(&self.rows) {
                writer.write_record(row).map_err(|e| error(e.to_string()))?;
            }
            let bytes = writer.into_inner().map_err(|e| error(e.to_string()))?;
            return String::from_utf8(bytes).map_err(|e| error(e.to_string()));
        }
        let mut table = comfy_table::Table::new();
        let preset = if format == Format::Markdown {
            presets::ASCII_MARKDOWN
        } else {
            presets::UTF8_BORDERS_ONLY
        };
        table.load_preset(preset).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(&self.header).add_rows(&self.rows);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let mut text: String =
            table.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
        if format == Format::Markdown {
            text = right_aligned(&text);
        }
        Ok(text)
    }
}

/// Markdown says the alignment in the line under the header.
fn right_aligned(text: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if let Some(rule) = lines.get_mut(1) {
        let cells: Vec<&str> = rule.trim_matches('|').split('|').collect();
        let cells = cells.iter().enumerate().map(|(i, cell)| match i {
            0 => (*cell).to_owned(),
            _ => format!("{}:", &cell[..cell.len() - 1]),
        });
        *rule = format!("|{}|", cells.collect::<Vec<_>>().join("|"));
    }
    lines.join("\n") + "\n"
}
