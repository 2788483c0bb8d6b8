//! Soft-capping (Gemma 2): `cap · tanh(x / cap)`, which leaves small values almost as they are.

use burn::Tensor;
use rayon::prelude::*;

use super::{dense, f32s, from_f32s};
use crate::device::is_cpu;
use crate::simd::soft_cap as capped;

/// Values in one task.
const TASK: usize = 1 << 14;

/// Caps every value of `[N, M]`.
pub fn soft_cap(x: Tensor<2>, cap: f32) -> Tensor<2> {
    let device = x.device();
    if !is_cpu(&device) {
        return (x / cap).tanh() * cap;
    }
    let shape = x.dims();
    let mut out = f32s(&dense(x)).to_vec();
    out.par_chunks_mut(TASK).for_each(|values| capped(values, cap));
    from_f32s(out, shape, &device)
}
