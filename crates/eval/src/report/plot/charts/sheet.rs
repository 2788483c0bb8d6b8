//! A table as a picture.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::{LABEL, TITLE, anchored, picture};
use crate::EvalError;
use crate::report::plot::picture::Picture;
use crate::report::table::Table;

/// Draws `table` under `title`.
pub(in crate::report::plot) fn draw(title: &str, table: &Table) -> Result<Picture, EvalError> {
    let width = |column: usize| {
        let cells = table.rows.iter().map(|row| &row[column]).chain([&table.header[column]]);
        13 * cells.map(|cell| cell.chars().count()).max().unwrap_or(0) as i32 + 34
    };
    let widths: Vec<i32> = (0..table.header.len()).map(width).collect();
    let total = widths.iter().sum::<i32>().max(15 * title.chars().count() as i32) + 48;
    let height = 150 + 42 * table.rows.len() as i32;
    picture((total as u32, height as u32), |area| {
        let style = anchored(TITLE, HPos::Left, VPos::Top);
        area.draw(&Text::new(title.to_owned(), (24, 20), style))?;
        let rows = [&table.header].into_iter().chain(&table.rows);
        for (i, row) in rows.enumerate() {
            let y = 92 + 42 * i as i32;
            if i % 2 == 0 && i > 0 {
                let band = [(20, y - 20), (total - 20, y + 20)];
                area.draw(&Rectangle::new(band, RGBColor(240, 244, 248).filled()))?;
            }
            let mut x = 30;
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let text = column < table.text_columns;
                let (at, side) = if text { (x, HPos::Left) } else { (x + width - 24, HPos::Right) };
                let style = anchored(LABEL - 2, side, VPos::Center);
                area.draw(&Text::new(cell.clone(), (at, y), style))?;
                x += width;
            }
        }
        let rule = [(20, 114), (total - 20, 114)];
        area.draw(&PathElement::new(rule, BLACK.stroke_width(2)))?;
        Ok(())
    })
}
