//! Packing on a GPU.

use burn_wgpu::{CubeTensor, into_contiguous};

use crate::Format;
use crate::kernels::PageShape;
use crate::kernels::wgsl::{Kernel, launch};

/// See [`CacheOps::append_quantised`](crate::kernels::CacheOps::append_quantised).
pub(in crate::kernels) fn append(
    rows: CubeTensor,
    codes: CubeTensor,
    scales: CubeTensor,
    at: usize,
    page: PageShape,
    format: &dyn Format,
) -> (CubeTensor, CubeTensor) {
    let rows = into_contiguous(rows);
    let new = rows.meta.shape()[2];
    // A page that someone else holds too is copied first, as on the CPU.
    let own = |plane: CubeTensor| if plane.can_mut() { plane } else { plane.copy() };
    let (codes, scales) = (own(codes), own(scales));
    // An odd number of f16 scales a row makes two rows share a word: one invocation writes both.
    let rows_per_unit = 1 + page.scales % 2;
    let units = (at + new).div_ceil(rows_per_unit) - at / rows_per_unit;
    launch(
        Kernel::Append,
        format,
        page,
        &[&rows, &codes, &scales],
        &[at as u32, new as u32, units as u32],
        page.batch * page.heads * units,
    );
    (codes, scales)
}
