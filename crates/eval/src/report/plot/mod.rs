//! Pictures of records: SVG and PNG, the same on every machine.
//!
//! `charts/` knows how to draw (lines, points, rows with error bars, maps, sheets), `figures/` what:
//! one file a figure, from records to what is drawn. Fonts are part of the program, and text is
//! drawn as paths, so a machine without fonts draws the same. Colours are Okabe and Ito's, which
//! colour-blind people tell apart; nothing is said by colour alone.

mod charts;
mod figures;
mod front;
mod picture;

use crate::EvalError;
use crate::record::Record;

pub use self::figures::ALL;
pub use self::front::Front;
pub use self::picture::Picture;

/// A kind of picture.
pub trait Figure: Sync {
    /// The name in file names and flags.
    fn name(&self) -> &'static str;

    /// What it shows, in a line.
    fn summary(&self) -> &'static str;

    /// Draws what the records have to say; `None` where they say nothing of it.
    ///
    /// # Errors
    /// When drawing fails.
    fn draw(&self, records: &[Record]) -> Result<Option<Picture>, EvalError>;
}

/// The figure of that name.
///
/// # Errors
/// When there is none.
pub fn by_name(name: &str) -> Result<&'static dyn Figure, EvalError> {
    let found = ALL.into_iter().find(|figure| figure.name() == name);
    found.ok_or_else(|| EvalError::unknown("figure", name, ALL.iter().map(|f| f.name())))
}
