//! `y = x · Wᵀ` where `W` stays as it is packed in its GGUF file, and arithmetic is f32.
//!
//! Weights keep every bit of their blocks and `x` is not rounded, unlike in llama.cpp, which rounds
//! the rows of `x` to 8-bit blocks: results differ from those of decoded weights only by the order
//! of f32 sums.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod codes;
mod few;
mod many;
mod matrix;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use matrix::{PackedError, PackedMatrix, SharedBytes};

/// Up to this many rows of `x`, packed rows are multiplied one by one; more are worth a product of
/// matrices.
const FEW_ROWS: usize = 8;

/// Multiplies rows `x` `[N, in]` with a weight `[out, in]`, into `[N, out]`.
///
/// # Panics
/// If `x` is not `n` rows of the weight's width, or `out` has another size.
pub(super) fn linear(x: &[f32], weight: &PackedMatrix, out: &mut [f32], n: usize) {
    let sizes = (n.checked_mul(weight.columns()), n.checked_mul(weight.rows()));
    assert_eq!((Some(x.len()), Some(out.len())), sizes, "sizes of a packed product");
    if n == 0 || weight.rows() == 0 {
        return;
    }
    if weight.columns() == 0 {
        return out.fill(0.0);
    }
    if n <= FEW_ROWS {
        few::few_rows(x, weight, out, n);
    } else {
        many::many_rows(x, weight, out, n);
    }
}

#[cfg(test)]
mod tests;
