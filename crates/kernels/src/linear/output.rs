//! Where the tasks of a product put what they computed.

/// The output `[n, m]` of a product, that tasks share: each writes columns of its own.
#[derive(Clone, Copy)]
pub(super) struct Output {
    values: *mut f32,
    n: usize,
    m: usize,
}
// SAFETY: tasks write disjoint columns through it, and it outlives them.
unsafe impl Send for Output {}
// SAFETY: as above.
unsafe impl Sync for Output {}

impl Output {
    pub(super) fn new(values: &mut [f32], [n, m]: [usize; 2]) -> Self {
        assert_eq!(Some(values.len()), n.checked_mul(m), "size of an output");
        Self { values: values.as_mut_ptr(), n, m }
    }

    /// Fills the columns from `at` on with the products of `x` `[n, k]` and `weights` `[rows, k]`.
    ///
    /// # Safety
    /// The output is still there, and no other task touches these columns.
    pub(super) unsafe fn multiply(self, at: usize, x: &[f32], weights: &[f32], k: usize) {
        let (n, rows) = (self.n, weights.len() / k);
        assert!(x.len() == n * k && at + rows <= self.m, "sizes of a panel");
        // SAFETY: `x` is [n, k] and `weights` [rows, k], both dense; the block of the output starts
        // at column `at` of [n, m], is `rows` wide, and belongs to this task.
        unsafe {
            gemm::gemm(
                n,
                rows,
                k,
                self.values.add(at),
                1,
                self.m as isize,
                false,
                x.as_ptr(),
                1,
                k as isize,
                weights.as_ptr(),
                k as isize,
                1,
                0.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    }
}

/// Puts columns of `n` products, one for each row of a weight, into an output `[n, m]`.
pub(super) fn transpose(columns: &[f32], out: &mut [f32], n: usize) {
    let m = columns.len() / n;
    for (j, column) in columns.chunks_exact(n).enumerate() {
        for (i, y) in column.iter().enumerate() {
            out[i * m + j] = *y;
        }
    }
}
