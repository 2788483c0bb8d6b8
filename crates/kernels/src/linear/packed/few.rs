//! Products with a few rows of `x`, as decoding makes: what bounds them is reading the weights, so
//! each row is read once, and unpacked in registers where the CPU's instructions allow it.

use rayon::prelude::*;

use super::matrix::{PackedMatrix, Part};
use super::portable;
#[cfg(target_arch = "x86_64")]
use super::x86;
use crate::ggml::BlockType;
use crate::linear::output::transpose;

/// The fewest rows of a weight that are worth a task of their own.
const TASK: usize = 16;

/// How a type's rows are multiplied on this CPU.
enum Kernel<'a> {
    /// With codes in registers.
    #[cfg(target_arch = "x86_64")]
    Registers(x86::Kernel),
    /// Decoded to memory, row by row.
    Portable(&'a [f32]),
}

impl<'a> Kernel<'a> {
    /// The best for a type and `rows` rows of `x`.
    fn new(kind: BlockType, x: &'a [f32], rows: usize) -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(kernel) = x86::Kernel::new(kind, x, rows) {
            return Self::Registers(kernel);
        }
        let _ = (kind, rows);
        Self::Portable(x)
    }

    /// Columns of products, one for each packed row.
    fn run(&self, part: &Part, weights: &[u8], columns: &mut [f32], n: usize) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Registers(kernel) => kernel.run((weights, part.row_bytes), columns),
            Self::Portable(x) => portable::products(x, part.kind, weights, columns, n),
        }
    }
}

/// `out[i][j] = x[i] · weight[j]` for `n` rows of `x`.
pub(super) fn few_rows(x: &[f32], weight: &PackedMatrix, out: &mut [f32], n: usize) {
    let m = weight.rows();
    let mut kernels: Vec<(BlockType, Kernel<'_>)> = Vec::new();
    for kind in weight.kinds() {
        if kernels.iter().all(|(known, _)| *known != kind) {
            kernels.push((kind, Kernel::new(kind, x, n)));
        }
    }
    // Columns of the transposed output are independent: each task fills some, and they are put
    // into place afterwards, which costs n·m moves.
    let mut transposed = if n == 1 { Vec::new() } else { vec![0.0; n * m] };
    let mut rest = if n == 1 { &mut *out } else { &mut transposed[..] };
    let mut tasks = Vec::new();
    for (part, rows) in weight.ranges(m.div_ceil(4 * rayon::current_num_threads()).max(TASK)) {
        let (columns, others) = rest.split_at_mut(rows.len() * n);
        rest = others;
        tasks.push((part, rows, columns));
    }
    tasks.into_par_iter().for_each(|(part, rows, columns)| {
        let (_, kernel) = kernels
            .iter()
            .find(|(kind, _)| *kind == part.kind)
            .expect("each part's type has a kernel");
        kernel.run(part, part.packed(rows), columns, n);
    });
    if n > 1 {
        transpose(&transposed, out, n);
    }
}
