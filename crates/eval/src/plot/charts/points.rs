//! Named points with error bars on two axes, and the front of those that nothing beats.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::{LABEL, anchored, axes, colour, headed, legend, picture, range};
use crate::EvalError;
use crate::plot::picture::Picture;

/// A point; both coordinates are better when they are lower. One without a name is drawn small.
pub(in crate::plot) struct Point {
    pub(in crate::plot) name: String,
    pub(in crate::plot) x: f64,
    pub(in crate::plot) y: f64,
    pub(in crate::plot) error: f64,
}

/// Points and their Pareto front.
pub(in crate::plot) struct Points {
    pub(in crate::plot) title: String,
    pub(in crate::plot) subtitle: String,
    pub(in crate::plot) x: String,
    pub(in crate::plot) y: String,
    pub(in crate::plot) points: Vec<Point>,
}

/// The points that no other beats in both coordinates, from left to right.
fn front(points: &[Point]) -> Vec<&Point> {
    let beats = |a: &Point, b: &Point| a.x <= b.x && a.y <= b.y && (a.x < b.x || a.y < b.y);
    let mut front: Vec<&Point> =
        points.iter().filter(|p| !points.iter().any(|other| beats(other, p))).collect();
    front.sort_by(|a, b| a.x.total_cmp(&b.x));
    front
}

impl Points {
    pub(in crate::plot) fn draw(&self) -> Result<Picture, EvalError> {
        let x = range(self.points.iter().map(|p| p.x));
        let y = range(self.points.iter().flat_map(|p| [p.y - p.error, p.y + p.error]));
        let front = front(&self.points);
        let on_front = |point: &Point| front.iter().any(|p| std::ptr::eq(*p, point));
        // Many names would cover each other: then only the front is named.
        let crowded = self.points.iter().filter(|p| !p.name.is_empty()).count() > 16;
        picture((1200, 860), |area| {
            let body = headed(area, &self.title, &self.subtitle)?;
            let mut chart = ChartBuilder::on(&body)
                .margin(24)
                .x_label_area_size(80)
                .y_label_area_size(120)
                .build_cartesian_2d(x, y)?;
            axes(&mut chart, &self.x, &self.y)?;
            let line = front.iter().map(|p| (p.x, p.y));
            let style = colour(1).stroke_width(2);
            chart
                .draw_series(DashedLineSeries::new(line, 10, 6, style))?
                .label("Pareto front: nothing is smaller and better")
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 30, y)], style));
            for point in &self.points {
                let shade = colour(if on_front(point) { 1 } else { 0 });
                let bar = [(point.x, point.y - point.error), (point.x, point.y + point.error)];
                chart.draw_series([PathElement::new(bar, shade.stroke_width(2))])?;
                let size = if point.name.is_empty() { 2 } else { 7 };
                chart.draw_series([Circle::new((point.x, point.y), size, shade.filled())])?;
                if crowded && !on_front(point) {
                    continue;
                }
                let (px, py) = chart.backend_coord(&(point.x, point.y));
                let right = px > 950;
                let style =
                    anchored(LABEL - 2, if right { HPos::Right } else { HPos::Left }, VPos::Bottom);
                let at = (if right { px - 10 } else { px + 10 }, py - 6);
                area.draw(&Text::new(point.name.clone(), at, style))?;
            }
            legend(&mut chart, SeriesLabelPosition::UpperRight)?;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_is_what_nothing_beats() {
        let point = |name: &str, x, y| Point { name: name.to_owned(), x, y, error: 0.0 };
        let points = [
            point("a", 1.0, 5.0),
            point("b", 2.0, 3.0),
            point("c", 3.0, 4.0),
            point("d", 4.0, 1.0),
        ];
        let names: Vec<_> = front(&points).iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "d"]);
    }
}
