//! Tables for people, made of records. Programs read the records themselves.

mod eval;

use comfy_table::{CellAlignment, ContentArrangement, presets};

pub use eval::eval_table;

/// How a table is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Lines and columns for a terminal.
    Text,
    /// A Markdown table.
    Markdown,
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
    pub fn render(&self, format: Format) -> String {
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
        text
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
