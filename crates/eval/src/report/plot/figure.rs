//! What a figure is: from records to a picture.

use super::picture::Picture;
use crate::EvalError;
use crate::record::Record;

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
