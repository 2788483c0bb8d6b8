//! Unpacking on a GPU.

use burn::tensor::{DType, Shape};
use burn_wgpu::CubeTensor;

use crate::paged::PageShape;
use crate::wgsl::Program;

/// See [`CacheOps::dequantise`](crate::paged::ops::CacheOps::dequantise); rows are in blocks of
/// `block` values.
pub(in crate::paged) fn dequantise(
    (codes, scales): (CubeTensor, CubeTensor),
    from: usize,
    count: usize,
    page: PageShape,
    (program, block): (&Program, usize),
) -> CubeTensor {
    let shape = Shape::new([page.batch, page.heads, count, page.head_dim]);
    let bytes = shape.num_elements() * size_of::<f32>();
    let rows = CubeTensor::new_contiguous(
        codes.client.clone(),
        codes.device.clone(),
        shape,
        codes.client.empty(bytes),
        DType::F32,
    );
    program.launch(
        &[&codes, &scales, &rows],
        &[count as u32, from as u32, page.capacity as u32],
        page.batch * page.heads * count * (page.head_dim / block),
    );
    rows
}
