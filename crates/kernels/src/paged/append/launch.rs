//! Packing on a GPU.

use burn_wgpu::{CubeTensor, into_contiguous};

use crate::paged::PageShape;
use crate::wgsl::{Program, own};

/// See [`CacheOps::append_quantised`](crate::paged::ops::CacheOps::append_quantised).
pub(in crate::paged) fn append(
    rows: CubeTensor,
    codes: CubeTensor,
    scales: CubeTensor,
    at: usize,
    page: PageShape,
    program: &Program,
) -> (CubeTensor, CubeTensor) {
    let rows = into_contiguous(rows);
    let new = rows.meta.shape()[2];
    let (codes, scales) = (own(codes), own(scales));
    let units = page.units(at, new);
    program.launch(
        &[&rows, &codes, &scales],
        &[at as u32, new as u32, units as u32, page.capacity as u32],
        page.batch * page.heads * units,
    );
    (codes, scales)
}
