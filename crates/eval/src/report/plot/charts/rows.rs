//! A row for each name, with one value and error bar for each series: names stay readable, and
//! error bars can be compared along one axis.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::{LABEL, anchored, axes, colour, headed, picture, range};
use crate::EvalError;
use crate::report::plot::picture::Picture;

/// A value and its error.
pub(in crate::report::plot) type Value = Option<(f64, f64)>;

/// Rows of values.
pub(in crate::report::plot) struct Rows {
    pub(in crate::report::plot) title: String,
    pub(in crate::report::plot) subtitle: String,
    pub(in crate::report::plot) x: String,
    /// Where a line marks "no change", say.
    pub(in crate::report::plot) mark: Option<f64>,
    pub(in crate::report::plot) series: Vec<String>,
    /// A name and a value for each series.
    pub(in crate::report::plot) rows: Vec<(String, Vec<Value>)>,
}

/// Units that one row takes.
const ROW: u32 = 46;

impl Rows {
    pub(in crate::report::plot) fn draw(&self) -> Result<Picture, EvalError> {
        let values = self.rows.iter().flat_map(|(_, values)| values.iter().flatten());
        let ends = values.flat_map(|(value, error)| [value - error, value + error]);
        let x = range(ends.chain(self.mark));
        let count = self.rows.len() as f64;
        let longest = self.rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let names = (14 * longest as u32 + 30).clamp(120, 420);
        let legend = if self.series.len() > 1 { 44 * self.series.len() as u32 } else { 0 };
        let height =
            200 + legend + self.rows.len() as u32 * ROW.max(18 * self.series.len() as u32 + 12);
        picture((1200, height), |area| {
            let (top, body) = headed(area, &self.title, &self.subtitle)?.split_vertically(legend);
            for (i, name) in self.series.iter().enumerate().filter(|_| legend > 0) {
                let y = 24 + 40 * i as i32;
                top.draw(&Circle::new((names as i32 + 40, y), 8, colour(i).filled()))?;
                let style = anchored(LABEL, HPos::Left, VPos::Center);
                top.draw(&Text::new(name.clone(), (names as i32 + 60, y), style))?;
            }
            let mut chart = ChartBuilder::on(&body)
                .margin(24)
                .margin_left(names)
                .x_label_area_size(80)
                .build_cartesian_2d(x, 0.0..count)?;
            axes(&mut chart, &self.x, "")?;
            if let Some(mark) = self.mark {
                let line = [(mark, 0.0), (mark, count)];
                chart.draw_series([PathElement::new(line, BLACK.stroke_width(2))])?;
            }
            let left = chart.plotting_area().get_x_range().start;
            for (i, (name, values)) in self.rows.iter().enumerate() {
                let middle = count - i as f64 - 0.5;
                let (px, py) = chart.backend_coord(&(left, middle));
                let style = anchored(LABEL, HPos::Right, VPos::Center);
                // Pixels of the whole picture: the body begins below the legend.
                area.draw(&Text::new(name.clone(), (px - 14, py), style))?;
                let offset = |s: usize| {
                    0.6 * ((s as f64 + 0.5) / values.len() as f64 - 0.5)
                        * f64::from(values.len() > 1)
                };
                for (s, value) in values.iter().enumerate() {
                    let Some((value, error)) = value else { continue };
                    let y = middle - offset(s);
                    let bar = [(value - error, y), (value + error, y)];
                    chart.draw_series([PathElement::new(bar, colour(s).stroke_width(3))])?;
                    chart.draw_series([Circle::new((*value, y), 7, colour(s).filled())])?;
                }
            }
            Ok(())
        })
    }
}
