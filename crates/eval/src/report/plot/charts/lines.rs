//! Lines over an axis of powers: how something grows.

use plotters::prelude::*;

use super::{axes, colour, headed, legend, picture};
use crate::EvalError;
use crate::report::plot::picture::Picture;

/// Lines, each with a name, on two logarithmic axes.
pub(in crate::report::plot) struct Lines {
    pub(in crate::report::plot) title: String,
    pub(in crate::report::plot) subtitle: String,
    pub(in crate::report::plot) x: String,
    pub(in crate::report::plot) y: String,
    pub(in crate::report::plot) lines: Vec<(String, Vec<(f64, f64)>)>,
}

impl Lines {
    pub(in crate::report::plot) fn draw(&self) -> Result<Picture, EvalError> {
        let points = || self.lines.iter().flat_map(|(_, points)| points);
        let span = |values: &mut dyn Iterator<Item = f64>| {
            let (low, high) = values.fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
            low / 1.3..high * 1.3
        };
        let x = span(&mut points().map(|p| p.0));
        let y = span(&mut points().map(|p| p.1));
        picture((1200, 860), |area| {
            let body = headed(area, &self.title, &self.subtitle)?;
            let mut chart = ChartBuilder::on(&body)
                .margin(24)
                .x_label_area_size(80)
                .y_label_area_size(120)
                .build_cartesian_2d(x.log_scale(), y.log_scale())?;
            axes(&mut chart, &self.x, &self.y)?;
            for (i, (name, points)) in self.lines.iter().enumerate() {
                let style = colour(i).stroke_width(3);
                chart
                    .draw_series(LineSeries::new(points.iter().copied(), style))?
                    .label(name)
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 30, y)], style));
                let marks = points.iter().map(|p| Circle::new(*p, 6, colour(i).filled()));
                chart.draw_series(marks)?;
            }
            legend(&mut chart, SeriesLabelPosition::UpperLeft)?;
            Ok(())
        })
    }
}
