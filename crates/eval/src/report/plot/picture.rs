//! A finished picture, and how it becomes SVG and PNG without fonts of the system.

use std::sync::{Arc, LazyLock};

use plotters::style::FontStyle;
use resvg::{tiny_skia, usvg};

use crate::EvalError;

/// The family that charts ask for.
pub(super) const FONT: &str = "sans-serif";

/// Pixels of a PNG for one unit of the SVG.
const PNG_SCALE: f32 = 1.5;

static FONTS: LazyLock<Arc<usvg::fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = usvg::fontdb::Database::new();
    fonts.load_font_data(dejavu::sans::regular().to_vec());
    fonts.set_sans_serif_family("DejaVu Sans");
    Arc::new(fonts)
});

/// Makes the font known to plotters, which measures text with it.
pub(super) fn register_font() -> Result<(), EvalError> {
    plotters::style::register_font(FONT, FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| EvalError::Setting("the font of the program can't be read".to_owned()))
}

/// A picture whose text is drawn as paths.
pub struct Picture {
    tree: usvg::Tree,
}

impl Picture {
    /// From what a chart drew.
    pub(super) fn new(svg: &str) -> Result<Self, EvalError> {
        let options = usvg::Options { fontdb: FONTS.clone(), ..usvg::Options::default() };
        let tree = usvg::Tree::from_str(svg, &options).map_err(|e| failed(&e.to_string()))?;
        Ok(Self { tree })
    }

    /// The picture as SVG.
    pub fn svg(&self) -> String {
        let options = usvg::WriteOptions {
            coordinates_precision: 2,
            transforms_precision: 4,
            ..usvg::WriteOptions::default()
        };
        self.tree.to_string(&options)
    }

    /// The picture as PNG.
    ///
    /// # Errors
    /// When it is too large to draw.
    pub fn png(&self) -> Result<Vec<u8>, EvalError> {
        let size = self.tree.size();
        let pixels = |x: f32| (x * PNG_SCALE).ceil() as u32;
        let canvas = tiny_skia::Pixmap::new(pixels(size.width()), pixels(size.height()));
        let mut canvas = canvas.ok_or_else(|| failed("it has no size"))?;
        canvas.fill(tiny_skia::Color::WHITE);
        let scale = tiny_skia::Transform::from_scale(PNG_SCALE, PNG_SCALE);
        resvg::render(&self.tree, scale, &mut canvas.as_mut());
        canvas.encode_png().map_err(|e| failed(&e.to_string()))
    }
}

/// The error of a picture that could not be drawn.
pub(super) fn failed(why: &str) -> EvalError {
    EvalError::Setting(format!("a picture could not be drawn: {why}"))
}
