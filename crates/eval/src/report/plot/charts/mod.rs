//! How pictures are drawn, whatever they show.

pub(super) mod lines;
pub(super) mod map;
pub(super) mod points;
pub(super) mod rows;
pub(super) mod sheet;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::picture::{FONT, Picture, failed, register_font};
use crate::EvalError;

/// Okabe and Ito's palette, without the yellow that vanishes on white.
pub(super) const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 0, 0),
];

/// Sizes of text: readable where the picture is shown at half its size.
pub(super) const TITLE: u32 = 26;
pub(super) const LABEL: u32 = 22;

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

pub(super) fn colour(index: usize) -> RGBColor {
    COLOURS[index % COLOURS.len()]
}

pub(super) fn font(size: u32) -> TextStyle<'static> {
    (FONT, size).into_font().color(&BLACK)
}

pub(super) fn anchored(size: u32, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    font(size).pos(Pos::new(horizontal, vertical))
}

/// A picture of the given size that `draw` fills.
pub(super) fn picture<'e>(
    (width, height): (u32, u32),
    draw: impl FnOnce(&Area<'_>) -> Result<(), Box<dyn std::error::Error + 'e>>,
) -> Result<Picture, EvalError> {
    register_font()?;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
        let whole = area.fill(&WHITE).map_err(|e| failed(&e.to_string()));
        whole.and_then(|()| draw(&area).map_err(|e| failed(&e.to_string())))?;
        area.present().map_err(|e| failed(&e.to_string()))?;
    }
    Picture::new(&svg)
}

/// Draws a title and a line under it, and returns what is left of the area.
pub(super) fn headed<'a>(
    area: &Area<'a>,
    title: &str,
    subtitle: &str,
) -> Result<Area<'a>, DrawError<'a>> {
    let (head, body) = area.split_vertically(96);
    let style = |size| anchored(size, HPos::Left, VPos::Top);
    head.draw(&Text::new(title.to_owned(), (24, 18), style(TITLE)))?;
    head.draw(&Text::new(subtitle.to_owned(), (24, 56), style(LABEL - 2)))?;
    Ok(body)
}

/// A chart of two axes of numbers.
pub(super) type Chart<'c, 'b, X, Y> = ChartContext<'c, SVGBackend<'b>, Cartesian2d<X, Y>>;

/// What drawing into an SVG may fail with.
pub(super) type DrawError<'b> = DrawingAreaErrorKind<<SVGBackend<'b> as DrawingBackend>::ErrorType>;

/// Draws axes with their descriptions, and bold grid lines only.
pub(super) fn axes<'b, X, Y>(
    chart: &mut Chart<'_, 'b, X, Y>,
    x: &str,
    y: &str,
) -> Result<(), DrawError<'b>>
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let mut mesh = chart.configure_mesh();
    mesh.x_desc(x)
        .x_label_formatter(&|v| short(*v))
        .y_label_formatter(&|v| short(*v))
        .label_style(font(LABEL))
        .axis_desc_style(font(LABEL))
        .light_line_style(TRANSPARENT);
    if y.is_empty() {
        mesh.disable_y_mesh();
    } else {
        mesh.y_desc(y);
    }
    mesh.draw()
}

/// Draws the legend of the series that have a label.
pub(super) fn legend<'b, X, Y>(
    chart: &mut Chart<'b, 'b, X, Y>,
    position: SeriesLabelPosition,
) -> Result<(), DrawError<'b>>
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    chart
        .configure_series_labels()
        .position(position)
        .legend_area_size(40)
        .background_style(WHITE)
        .border_style(BLACK)
        .label_font(font(LABEL))
        .draw()
}

/// A range that holds all values with a margin on both sides, and zero if it is near.
pub(super) fn range(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values.filter(|v| v.is_finite()) {
        low = low.min(value);
        high = high.max(value);
    }
    if low > high {
        return 0.0..1.0;
    }
    let span = if high > low { high - low } else { high.abs().max(1.0) * 0.1 };
    low - 0.08 * span..high + 0.08 * span
}

/// A number as short as its axis allows.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        v if v < 1e-12 => "0".to_owned(),
        v if v >= 10_000.0 => crate::report::units::whole(value.round() as u64),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => trimmed(format!("{value:.1}")),
        v if v >= 1.0 => trimmed(format!("{value:.2}")),
        _ => trimmed(format!("{value:.4}")),
    }
}

fn trimmed(text: String) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_their_values() {
        let got = range([1.0, 3.0, f64::NAN].into_iter());
        assert!(got.start < 1.0 && got.end > 3.0);
        assert_eq!(range(std::iter::empty()), 0.0..1.0);
        let one = range([5.0].into_iter());
        assert!(one.start < 5.0 && one.end > 5.0);
    }

    #[test]
    fn numbers_are_short() {
        let texts = [0.0, 0.25, 1.5, 12.0, 250.0, 12_345.0].map(short);
        assert_eq!(texts, ["0", "0.25", "1.5", "12", "250", "12,345"]);
    }
}
