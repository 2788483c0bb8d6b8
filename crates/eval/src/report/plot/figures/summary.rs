//! The table of the records, as a picture.

use super::common;
use crate::EvalError;
use crate::record::Record;
use crate::report::plot::charts::sheet;
use crate::report::plot::figure::Figure;
use crate::report::plot::picture::Picture;
use crate::report::table::{Detail, records_table};

pub(super) struct Summary;

/// Rows that fit a page.
const MOST_ROWS: usize = 40;

impl Figure for Summary {
    fn name(&self) -> &'static str {
        "summary"
    }

    fn summary(&self) -> &'static str {
        "the configurations and what they cost, as a table"
    }

    fn draw(&self, records: &[Record]) -> Result<Option<Picture>, EvalError> {
        if records.len() > MOST_ROWS || records.is_empty() {
            return Ok(None);
        }
        let title = format!("Configurations ({})", common(&records.iter().collect::<Vec<_>>()));
        sheet::draw(&title, &records_table(records, Detail::Brief)).map(Some)
    }
}
