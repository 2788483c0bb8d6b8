//! The WGSL programs of a page's operations, put together from a format and the sizes of a row.

use super::PageShape;
use crate::formats::Format;
use crate::wgsl::{PRELUDE, Program, Programs, constants};

/// Invocations in one workgroup: a multiple of every adapter's subgroup, far below every limit.
const GROUP: usize = 64;

/// The three operations of one side of a cache.
#[derive(Debug, Clone)]
pub(crate) struct PagePrograms {
    pub(super) append: Program,
    pub(super) dequantise: Program,
    pub(super) gather: Program,
}

impl PagePrograms {
    /// # Errors
    /// What the compiler says, or that the format has no WGSL.
    pub(super) fn new(
        format: &dyn Format,
        page: PageShape,
        programs: &Programs,
    ) -> Result<Self, String> {
        let [append, dequantise, gather] = sources(format, page).ok_or("it has no WGSL")?;
        let compile = |(operation, source): (&str, String)| {
            programs.get(source, GROUP).map_err(|e| format!("{operation}: {e}"))
        };
        Ok(Self {
            append: compile(append)?,
            dequantise: compile(dequantise)?,
            gather: compile(gather)?,
        })
    }
}

/// Every WGSL source for one format and head_dim, by operation: what a test validates.
pub fn shader_sources(format: &dyn Format, head_dim: usize) -> Vec<(&'static str, String)> {
    let page = PageShape::new(format.layout(), 1, 2, 256, head_dim);
    sources(format, page).map_or(Vec::new(), Vec::from)
}

fn sources(format: &dyn Format, page: PageShape) -> Option<[(&'static str, String); 3]> {
    let unit = page.rows_per_unit();
    let row = constants(&[
        ("GROUP", GROUP),
        ("HEADS", page.batch * page.heads),
        ("HEAD_DIM", page.head_dim),
        ("ROW_WORDS", page.words),
        ("SCALES", page.scales),
        ("UNIT", unit),
        ("UNIT_SCALES", (unit * page.scales).max(2)),
    ]);
    let layout = format.layout();
    let block = constants(&[
        ("BLOCKS", page.head_dim / layout.values),
        ("VALUES", layout.values),
        ("WORDS", layout.code_words),
        ("BLOCK_SCALES", layout.scales),
        // An array can't be empty, and the WGSL that formats share names two.
        ("SCALE_SLOTS", layout.scales.max(2)),
    ]);
    let coded = |body: &str, wgsl: &str| [&row, &block, PRELUDE, wgsl, body].concat();
    let wgsl = format.wgsl()?;
    Some([
        ("append", coded(include_str!("append/kernel.wgsl"), &wgsl)),
        ("dequantise", coded(include_str!("dequantise/kernel.wgsl"), &wgsl)),
        // Moves rows of any format and names none.
        ("gather", row.clone() + include_str!("gather/kernel.wgsl")),
    ])
}
