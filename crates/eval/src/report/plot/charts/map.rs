//! A map: columns by rows, a colour and a number in each cell.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::{LABEL, TITLE, anchored, picture};
use crate::EvalError;
use crate::report::plot::picture::Picture;

/// The value that colours a cell and the lines of text in it; nothing where nothing was measured.
pub(in crate::report::plot) type Cell = Option<(f64, Vec<String>)>;

/// A map of numbers.
pub(in crate::report::plot) struct Map {
    pub(in crate::report::plot) title: String,
    /// What the numbers and their colours are, with unit and direction.
    pub(in crate::report::plot) legend: String,
    pub(in crate::report::plot) x: String,
    pub(in crate::report::plot) y: String,
    pub(in crate::report::plot) columns: Vec<String>,
    /// A name and the cells, by column.
    pub(in crate::report::plot) rows: Vec<(String, Vec<Cell>)>,
    /// The values at both ends of the scale of colours.
    pub(in crate::report::plot) scale: (f64, f64),
}

/// From dark blue over grey to yellow, light is high: Cividis (Nuñez, Anderton and Renslow 2018),
/// at five stops.
const STOPS: [(f64, f64, f64); 5] = [
    (0.0, 34.0, 78.0),
    (66.0, 78.0, 107.0),
    (124.0, 123.0, 120.0),
    (188.0, 175.0, 111.0),
    (255.0, 234.0, 70.0),
];

fn shade(share: f64) -> RGBColor {
    let at = share.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let i = (at as usize).min(STOPS.len() - 2);
    let mix = |a: f64, b: f64| (a + (b - a) * (at - i as f64)).round() as u8;
    let (a, b) = (STOPS[i], STOPS[i + 1]);
    RGBColor(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

impl Map {
    pub(in crate::report::plot) fn draw(&self) -> Result<Picture, EvalError> {
        let lines =
            self.rows.iter().flat_map(|(_, cells)| cells.iter().flatten()).map(|(_, l)| l.len());
        let (cell_width, cell_height) = (128i32, 24 * lines.max().unwrap_or(1) as i32 + 28);
        let longest =
            self.rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0) as i32;
        let (left, top) = (70 + 14 * longest.max(4), 140);
        let title = 15 * self.title.chars().count().max(self.legend.chars().count()) as i32;
        let width = (left + cell_width * self.columns.len() as i32 + 30).max(title + 40);
        let height = top + cell_height * self.rows.len() as i32 + 110;
        let (low, high) = self.scale;
        picture((width as u32, height as u32), |area| {
            let text = |text: &str, at: (i32, i32), size: u32, across: HPos, down: VPos| {
                area.draw(&Text::new(text.to_owned(), at, anchored(size, across, down)))
            };
            text(&self.title, (24, 20), TITLE, HPos::Left, VPos::Top)?;
            text(&self.legend, (24, 58), LABEL, HPos::Left, VPos::Top)?;
            text(&self.y, (24, top - 12), LABEL, HPos::Left, VPos::Bottom)?;
            for (i, (name, cells)) in self.rows.iter().enumerate() {
                let y = top + cell_height * i as i32;
                text(name, (left - 14, y + cell_height / 2), LABEL, HPos::Right, VPos::Center)?;
                for (j, cell) in cells.iter().enumerate() {
                    let x = left + cell_width * j as i32;
                    let frame = [(x, y), (x + cell_width - 3, y + cell_height - 3)];
                    let Some((value, lines)) = cell else {
                        area.draw(&Rectangle::new(frame, BLACK.mix(0.2)))?;
                        continue;
                    };
                    let share = (value - low) / (high - low).max(f64::MIN_POSITIVE);
                    area.draw(&Rectangle::new(frame, shade(share).filled()))?;
                    let ink = if share > 0.5 { BLACK } else { WHITE };
                    let style = anchored(LABEL - 3, HPos::Center, VPos::Center).color(&ink);
                    for (k, line) in lines.iter().enumerate() {
                        let middle = 24 * (2 * k as i32 + 1 - lines.len() as i32) / 2;
                        let at = (x + cell_width / 2, y + cell_height / 2 + middle);
                        area.draw(&Text::new(line.clone(), at, style.clone()))?;
                    }
                }
            }
            let bottom = top + cell_height * self.rows.len() as i32;
            for (j, name) in self.columns.iter().enumerate() {
                let x = left + cell_width * j as i32 + cell_width / 2;
                text(name, (x, bottom + 10), LABEL, HPos::Center, VPos::Top)?;
            }
            let middle = left + cell_width * self.columns.len() as i32 / 2;
            text(&self.x, (middle, bottom + 50), LABEL, HPos::Center, VPos::Top)?;
            Ok(())
        })
    }
}
