//! Named points with error bars on two axes, and the front of those that nothing beats.

use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::{
    Area, Chart, DrawError, LABEL, anchored, axes, colour, headed, legend, picture, range,
};
use crate::EvalError;
use crate::report::plot::picture::Picture;

/// A point; both coordinates are better when they are lower. One without a name is drawn small.
pub(in crate::report::plot) struct Point {
    pub(in crate::report::plot) name: String,
    pub(in crate::report::plot) x: f64,
    pub(in crate::report::plot) y: f64,
    pub(in crate::report::plot) error: f64,
}

/// Points and their Pareto front.
pub(in crate::report::plot) struct Points {
    pub(in crate::report::plot) title: String,
    pub(in crate::report::plot) subtitle: String,
    pub(in crate::report::plot) x: String,
    pub(in crate::report::plot) y: String,
    /// Whether the vertical axis is logarithmic; points at 0 or below are then left out.
    pub(in crate::report::plot) log: bool,
    pub(in crate::report::plot) points: Vec<Point>,
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
    pub(in crate::report::plot) fn draw(&self) -> Result<Picture, EvalError> {
        let x = range(self.points.iter().map(|p| p.x));
        let ends = self.points.iter().flat_map(|p| [p.y - p.error, p.y + p.error]);
        picture((1200, 860), |area| {
            let body = headed(area, &self.title, &self.subtitle)?;
            let mut chart = ChartBuilder::on(&body);
            let chart = chart.margin(24).x_label_area_size(80).y_label_area_size(120);
            if self.log {
                // A bar that reaches 0 has no end on this axis: it ends at the bottom.
                let values = || self.points.iter().map(|p| p.y).filter(|y| *y > 0.0);
                let low = values().fold(f64::INFINITY, f64::min) / 2.0;
                let high = values().fold(low, f64::max) * 2.0;
                self.fill(area, chart.build_cartesian_2d(x, (low..high).log_scale())?, low)?;
            } else {
                let y = range(ends);
                let low = y.start;
                self.fill(area, chart.build_cartesian_2d(x, y)?, low)?;
            }
            Ok(())
        })
    }

    /// Axes, front, points and names; nothing is drawn below `low`.
    fn fill<'b, Y>(
        &self,
        area: &Area<'b>,
        mut chart: Chart<'b, 'b, RangedCoordf64, Y>,
        low: f64,
    ) -> Result<(), DrawError<'b>>
    where
        Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let front = front(&self.points);
        let on_front = |point: &Point| front.iter().any(|p| std::ptr::eq(*p, point));
        axes(&mut chart, &self.x, &self.y)?;
        let line = front.iter().map(|p| (p.x, p.y));
        let style = colour(1).stroke_width(2);
        chart
            .draw_series(DashedLineSeries::new(line, 10, 6, style))?
            .label("Pareto front: nothing is smaller and better")
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 30, y)], style));
        for point in &self.points {
            let shade = colour(if on_front(point) { 1 } else { 0 });
            let bottom = (point.y - point.error).max(low);
            let bar = [(point.x, bottom), (point.x, point.y + point.error)];
            chart.draw_series([PathElement::new(bar, shade.stroke_width(2))])?;
            let size = if point.name.is_empty() { 2 } else { 7 };
            chart.draw_series([Circle::new((point.x, point.y), size, shade.filled())])?;
        }
        // Names of the front first; one that finds no free place is left out.
        let mut order: Vec<&Point> = self.points.iter().filter(|p| !p.name.is_empty()).collect();
        order.sort_by_key(|point| !on_front(point));
        let at = |p: &Point| chart.backend_coord(&(p.x, p.y));
        let mut taken: Vec<Box2> = order.iter().map(|p| Box2::around(at(p))).collect();
        for point in order {
            if let Some((place, spot)) = Box2::free(at(point), &point.name, &taken) {
                taken.push(place);
                let (px, py) = at(point);
                let end = (
                    if place.left > px { place.left - 2 } else { place.right + 2 },
                    place.middle(),
                );
                if (end.1 - py).abs() > NAME as i32 / 2 {
                    // A name that stands aside is led back to its point.
                    area.draw(&PathElement::new([(px, py), end], BLACK.mix(0.4).stroke_width(1)))?;
                }
                let style = anchored(NAME, HPos::Left, VPos::Top);
                area.draw(&Text::new(point.name.clone(), spot, style))?;
            }
        }
        legend(&mut chart, SeriesLabelPosition::UpperRight)
    }
}

/// Size of names.
const NAME: u32 = LABEL - 4;

/// A rectangle on the picture, in pixels.
#[derive(Debug, Clone, Copy)]
struct Box2 {
    left: i32,
    top: i32,
    right: i32,
    bottom: i32,
}

impl Box2 {
    fn around((x, y): (i32, i32)) -> Self {
        Self { left: x - 8, top: y - 8, right: x + 8, bottom: y + 8 }
    }

    fn middle(&self) -> i32 {
        i32::midpoint(self.top, self.bottom)
    }

    fn meets(&self, other: &Self) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }

    /// A place for a name near a point that covers nothing taken, and its upper left corner.
    fn free((x, y): (i32, i32), name: &str, taken: &[Self]) -> Option<(Self, (i32, i32))> {
        let (width, height) = (name.chars().count() as i32 * NAME as i32 * 3 / 5, NAME as i32 + 2);
        let beside = [10, -10 - width];
        let spots = [0, -1, 1, -2, 2, -3, 3]
            .into_iter()
            .flat_map(|row| beside.map(|dx| (x + dx, y + row * height - height / 2)));
        let spots = spots.filter(|(left, _)| *left > 130 && left + width < 1190);
        spots
            .map(|(left, top)| {
                (Self { left, top, right: left + width, bottom: top + height }, (left, top))
            })
            .find(|(place, _)| taken.iter().all(|other| !place.meets(other)))
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
