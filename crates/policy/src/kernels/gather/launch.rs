//! Copying packed rows on a GPU.

use burn_wgpu::CubeTensor;

use crate::kernels::PageShape;
use crate::kernels::wgsl::{Kernel, launch, own};

/// See [`CacheOps::gather`](crate::kernels::CacheOps::gather).
pub(in crate::kernels) fn gather(
    (codes, scales): (CubeTensor, CubeTensor),
    (to_codes, to_scales): (CubeTensor, CubeTensor),
    rows: &[u32],
    at: usize,
    (source, page): (PageShape, PageShape),
) -> (CubeTensor, CubeTensor) {
    let (to_codes, to_scales) = (own(to_codes), own(to_scales));
    let units = page.units(at, rows.len());
    let info: Vec<u32> = [at as u32, rows.len() as u32, units as u32, source.capacity as u32]
        .into_iter()
        .chain(rows.iter().copied())
        .collect();
    launch(
        Kernel::Gather,
        None,
        page,
        &[&codes, &scales, &to_codes, &to_scales],
        &info,
        page.batch * page.heads * units,
    );
    (to_codes, to_scales)
}
