//! Unpacking on a GPU.

use std::sync::Arc;

use burn::tensor::{DType, Shape};
use burn_wgpu::CubeTensor;

use crate::Format;
use crate::kernels::PageShape;
use crate::kernels::wgsl::{Kernel, launch};

/// See [`CacheOps::dequantise`](crate::kernels::CacheOps::dequantise).
pub(in crate::kernels) fn dequantise(
    (codes, scales): (CubeTensor, CubeTensor),
    from: usize,
    count: usize,
    page: PageShape,
    format: Arc<dyn Format>,
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
    let blocks = page.head_dim / format.layout().values;
    launch(
        Kernel::Dequantise,
        Some(format),
        page,
        &[&codes, &scales, &rows],
        &[count as u32, from as u32],
        page.batch * page.heads * count * blocks,
    );
    rows
}
