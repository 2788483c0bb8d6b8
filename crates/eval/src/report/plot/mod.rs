//! Figures from records: SVG and PNG, the same on every machine.
//!
//! `charts/` draws (lines, points, rows with error bars, heat maps, tables); `figures/` says what
//! is drawn: one file a figure, from records to a chart. Fonts are part of the program, and text is
//! drawn as paths, so a machine without fonts draws the same. Colours are Okabe and Ito's, which
//! colour-blind people tell apart; nothing is said by colour alone.

mod charts;
mod figure;
mod figures;
mod front;
mod picture;

use crate::EvalError;

pub use self::figure::Figure;
pub use self::figures::ALL;
pub use self::front::Front;
pub use self::picture::Picture;

/// The figure of that name.
///
/// # Errors
/// When there is none.
pub fn by_name(name: &str) -> Result<&'static dyn Figure, EvalError> {
    let found = ALL.into_iter().find(|figure| figure.name() == name);
    found.ok_or_else(|| EvalError::unknown("figure", name, ALL.iter().map(|f| f.name())))
}
