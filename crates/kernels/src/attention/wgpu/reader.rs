//! Which program reads a pair of sides: chosen and compiled once, when a cache is made.

use std::sync::Arc;

use super::{matrix, merge, side, tiles, vectors};
use crate::device::{Context, MatrixUnits};
use crate::formats::{F32, Format};
use crate::paged::{Axis, Side};
use crate::wgsl::Program;

/// A program that reads a KV split: how it divides the work, and its text.
pub(super) trait Plan {
    /// Query rows of a workgroup.
    fn rows(&self) -> usize;

    /// Tokens that a workgroup takes at a time: splits are multiples of it.
    fn step(&self) -> usize;

    /// Invocations of a workgroup.
    fn group(&self) -> usize;

    /// Whether every adapter that may run it has the workgroup memory.
    fn fits(&self) -> bool {
        true
    }

    /// Its WGSL; `None` where a format has none or does not say how it packs.
    fn text(&self, keys: &dyn Format, values: &dyn Format, head_dim: usize) -> Option<String>;
}

/// The plan for so many query rows of a key-value head.
fn plan(matrices: Option<MatrixUnits>, rows: usize, head_dim: usize) -> Arc<dyn Plan> {
    if let Some(plan) = matrices.and_then(|units| matrix::Units::new(units, rows, head_dim)) {
        return Arc::new(plan);
    }
    match tiles::Tiles::new(rows, head_dim) {
        Some(plan) => Arc::new(plan),
        None => Arc::new(vectors::Vectors::new(rows, head_dim)),
    }
}

/// No plan changes beyond so many query rows of a key-value head.
const MOST_ROWS: usize = 64;

/// A compiled plan.
#[derive(Debug, Clone)]
pub(crate) struct Compiled {
    pub(super) program: Program,
    pub(super) rows: usize,
    pub(super) step: usize,
}

/// How attention reads a pair of sides on a GPU.
#[derive(Debug)]
pub(crate) struct Reader {
    /// As they are packed, or tile by tile.
    pub(crate) packed: bool,
    /// For each number of query rows from 1 to [`MOST_ROWS`]; neighbours often share a program.
    plans: Vec<Compiled>,
    /// Merges the splits of a row.
    pub(super) merge: Program,
}

impl Reader {
    /// The reader of a pair of sides, on the context's matrix units if these can read both. Every
    /// program that it may run is compiled here.
    ///
    /// # Errors
    /// What the compiler says of a program that should compile.
    pub(crate) fn new(
        keys: &Side,
        values: &Side,
        head_dim: usize,
        context: &Context,
    ) -> Result<Self, String> {
        if !head_dim.is_multiple_of(8) {
            return Err(format!(
                "a GPU reads eight channels at a time, which do not divide {head_dim}"
            ));
        }
        let reads = |side: &Side| side.axis == Axis::Token && side::reads(&*side.format);
        let packed = reads(keys) && reads(values);
        let [keys, values]: [&dyn Format; 2] = match packed {
            true => [&*keys.format, &*values.format],
            false => [&F32, &F32],
        };
        // f32 that is asked for stays f32.
        let narrow = |format: &dyn Format| format.layout().bits_per_value() < 32.0;
        let matrices = context.matrices.filter(|_| packed && narrow(keys) && narrow(values));
        let compiled = |rows| {
            let plan = plan(matrices, rows, head_dim);
            if !plan.fits() {
                return Err(format!(
                    "head_dim {head_dim} needs more workgroup memory than GPUs promise"
                ));
            }
            let text = plan.text(keys, values, head_dim).ok_or("a format has no WGSL")?;
            let program = context.programs.get(text, plan.group())?;
            Ok(Compiled { program, rows: plan.rows(), step: plan.step() })
        };
        Ok(Self {
            packed,
            plans: (1..=MOST_ROWS).map(compiled).collect::<Result<_, String>>()?,
            merge: context.programs.get(merge(head_dim), vectors::GROUP)?,
        })
    }

    /// The program for so many query rows of a key-value head, which are at least 1.
    pub(super) fn plan(&self, rows: usize) -> &Compiled {
        &self.plans[rows.clamp(1, MOST_ROWS) - 1]
    }
}

/// The WGSL of both kernels for a pair of formats and a number of query rows of a key-value head;
/// the first is empty where a format is not read as it is packed. Tests validate it.
pub fn sources(
    keys: &dyn Format,
    values: &dyn Format,
    rows: usize,
    head_dim: usize,
    matrices: Option<MatrixUnits>,
) -> [String; 2] {
    let text = plan(matrices, rows, head_dim).text(keys, values, head_dim);
    [text.unwrap_or_default(), merge(head_dim)]
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::formats::{F16, Q4_0};

    /// A program that attention came to need in the middle of a text would be compiled there, and
    /// what does not compile would be found there.
    #[test]
    fn every_program_that_attention_may_run_is_compiled_with_the_cache() {
        let sides = (Side::per_token(Arc::new(F16)), Side::per_token(Arc::new(Q4_0)));
        for matrices in [None, Some(MatrixUnits::with(16, 32)), Some(MatrixUnits::with(8, 32))] {
            let mut context = Context::new(&Device::flex());
            context.matrices = matrices;
            for head_dim in [32, 64, 96, 128, 160, 256] {
                let reader = Reader::new(&sides.0, &sides.1, head_dim, &context);
                let reader = reader.expect("programs that compile");
                for rows in 1..=3 * MOST_ROWS {
                    let plan = plan(matrices, rows, head_dim);
                    let text = plan.text(&F16, &Q4_0, head_dim).expect("formats with WGSL");
                    let wanted = context.programs.get(text, plan.group()).expect("compiled");
                    let chosen = reader.plan(rows);
                    let what = format!("{rows} rows of {head_dim}, {matrices:?}");
                    // Programs print as the digest of their text.
                    assert_eq!(format!("{:?}", chosen.program), format!("{wanted:?}"), "{what}");
                    assert_eq!((chosen.rows, chosen.step), (plan.rows(), plan.step()), "{what}");
                }
            }
        }
    }
}
