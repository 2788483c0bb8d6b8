//! Copying packed rows on a GPU.

use burn_wgpu::CubeTensor;

use super::Move;
use crate::wgsl::{Program, own};

/// See [`CacheOps::gather`](crate::paged::ops::CacheOps::gather).
pub(in crate::paged) fn gather(
    (codes, scales): (CubeTensor, CubeTensor),
    (to_codes, to_scales): (CubeTensor, CubeTensor),
    Move { rows, at, shapes: (source, page) }: &Move,
    program: &Program,
) -> (CubeTensor, CubeTensor) {
    let (to_codes, to_scales) = (own(to_codes), own(to_scales));
    let units = page.units(*at, rows.len());
    let sizes = [*at, rows.len(), units, source.capacity, page.capacity].map(|n| n as u32);
    let info: Vec<u32> = sizes.into_iter().chain(rows.iter().copied()).collect();
    program.launch(
        &[&codes, &scales, &to_codes, &to_scales],
        &info,
        page.batch * page.heads * units,
    );
    (to_codes, to_scales)
}
