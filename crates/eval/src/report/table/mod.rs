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

/// The largest number that tables print; `e` to a loss soon passes it.
const LARGEST: f64 = 1e300;

/// From here on digits after the point are noise, and hundreds of them before it hide the columns.
const SHORT: f64 = 1e12;

/// A number of any size: `> 1e300` where it is larger.
pub fn of_any_size(value: f64, digits: usize) -> String {
    match value {
        v if v > LARGEST => format!("> {LARGEST:e}"),
        v if v.abs() >= SHORT => format!("{v:.digits$e}"),
        v => format!("{v:.digits$}"),
    }
}

/// `value ± error`, or `value ± ?` where the error is unknown; the value alone where it is beyond
/// what is printed.
pub fn with_error(value: f64, error: Option<f64>, digits: usize) -> String {
    let shown = of_any_size(value, digits);
    match error {
        _ if value > LARGEST => shown,
        Some(error) => format!("{shown} ± {}", of_any_size(error, digits)),
        None => format!("{shown} ± ?"),
    }
}

/// As [`with_error`], with a sign.
pub fn signed(value: f64, error: Option<f64>, digits: usize) -> String {
    let sign = if value.is_sign_negative() || value > LARGEST { "" } else { "+" };
    sign.to_owned() + &with_error(value, error, digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_size_have_a_width_that_fits() {
        assert_eq!(with_error(31.4159, Some(0.25), 3), "31.416 ± 0.250");
        assert_eq!(with_error(31.4159, None, 2), "31.42 ± ?");
        assert_eq!(with_error(2.5e200, Some(1e199), 3), "2.500e200 ± 1.000e199");
        assert_eq!(with_error(f64::INFINITY, None, 3), "> 1e300");
        assert_eq!(signed(f64::INFINITY, Some(f64::INFINITY), 3), "> 1e300");
        assert_eq!(signed(0.5, Some(0.25), 1), "+0.5 ± 0.2");
        assert_eq!(signed(-0.5, None, 1), "-0.5 ± ?");
        assert_eq!(signed(0.0, Some(0.0), 3), "+0.000 ± 0.000");
    }
}
