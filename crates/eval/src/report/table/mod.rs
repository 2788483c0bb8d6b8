//! Tables for people, made of records. Programs read the records themselves.

mod latex;
mod records;

use comfy_table::{CellAlignment, ContentArrangement, presets};

pub use self::records::{Detail, caption, records_table};

/// How a table is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Lines and columns for a terminal.
    Text,
    /// A Markdown table.
    Markdown,
    /// A LaTeX `tabular` with the rules of booktabs.
    Latex,
}

/// A table: some columns of text, then columns of numbers.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// How many columns, from the left, are text; the others are numbers and stand to the right.
    pub text_columns: usize,
    /// Column headings, units included.
    pub header: Vec<String>,
    /// Rows as wide as the header.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// The table as text, ending in a line break.
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Text => self.drawn(presets::UTF8_BORDERS_ONLY),
            Format::Markdown => {
                right_aligned(&self.drawn(presets::ASCII_MARKDOWN), self.text_columns)
            }
            Format::Latex => latex::tabular(self),
        }
    }

    fn drawn(&self, preset: &str) -> String {
        let mut table = comfy_table::Table::new();
        table.load_preset(preset).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(&self.header).add_rows(&self.rows);
        for column in table.column_iter_mut().skip(self.text_columns) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }
}

/// Markdown says the alignment in the line under the header.
fn right_aligned(text: &str, text_columns: usize) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if let Some(rule) = lines.get_mut(1) {
        let cells: Vec<&str> = rule.trim_matches('|').split('|').collect();
        let cells = cells.iter().enumerate().map(|(i, cell)| match i {
            i if i < text_columns => (*cell).to_owned(),
            _ => format!("{}:", &cell[..cell.len() - 1]),
        });
        *rule = format!("|{}|", cells.collect::<Vec<_>>().join("|"));
    }
    lines.join("\n") + "\n"
}

/// `value ± error`, or `value ± ?` where the error is unknown.
pub fn with_error(value: f64, error: Option<f64>, digits: usize) -> String {
    match error {
        Some(error) => format!("{value:.digits$} ± {error:.digits$}"),
        None => format!("{value:.digits$} ± ?"),
    }
}

/// As [`with_error`], with a sign.
pub fn signed(value: f64, error: Option<f64>, digits: usize) -> String {
    match error {
        Some(error) => format!("{value:+.digits$} ± {error:.digits$}"),
        None => format!("{value:+.digits$} ± ?"),
    }
}
