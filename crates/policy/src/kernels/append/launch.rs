//! Packing on a GPU.

use std::sync::Arc;

use burn_wgpu::{CubeTensor, into_contiguous};

use crate::Format;
use crate::kernels::PageShape;
use crate::kernels::wgsl::{Kernel, launch, own};

/// See [`CacheOps::append_quantised`](crate::kernels::CacheOps::append_quantised).
pub(in crate::kernels) fn append(
    rows: CubeTensor,
    codes: CubeTensor,
    scales: CubeTensor,
    at: usize,
    page: PageShape,
    format: Arc<dyn Format>,
) -> (CubeTensor, CubeTensor) {
    let rows = into_contiguous(rows);
    let new = rows.meta.shape()[2];
    let (codes, scales) = (own(codes), own(scales));
    let units = page.units(at, new);
    launch(
        Kernel::Append,
        Some(format),
        page,
        &[&rows, &codes, &scales],
        &[at as u32, new as u32, units as u32],
        page.batch * page.heads * units,
    );
    (codes, scales)
}
