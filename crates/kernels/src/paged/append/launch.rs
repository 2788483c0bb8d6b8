//! Packing on a GPU.

use burn_wgpu::{CubeTensor, into_contiguous};

use crate::paged::PageShape;
use crate::paged::coding::Coding;
use crate::wgsl::own;

/// See [`CacheOps::append_quantised`](crate::paged::ops::CacheOps::append_quantised).
pub(in crate::paged) fn append(
    rows: CubeTensor,
    codes: CubeTensor,
    scales: CubeTensor,
    at: usize,
    page: PageShape,
    coding: &Coding,
) -> (CubeTensor, CubeTensor) {
    let rows = into_contiguous(rows);
    let new = rows.meta.shape()[2];
    let (codes, scales) = (own(codes), own(scales));
    let units = page.units(at, new);
    let counts = coding.counter.words(&rows);
    coding.counter.add(rows.meta.shape().num_elements() as u64, 0);
    coding.programs().append.launch(
        &[&rows, &codes, &scales, counts],
        &[at as u32, new as u32, units as u32, page.capacity as u32],
        page.batch * page.heads * units,
    );
    (codes, scales)
}
