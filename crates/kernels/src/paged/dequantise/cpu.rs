//! Unpacking on the CPU.

use burn::tensor::TensorData;
use burn_flex::FlexTensor;

use crate::formats::Format;
use crate::paged::PageShape;

/// See [`CacheOps::dequantise`](crate::paged::ops::CacheOps::dequantise).
pub(in crate::paged) fn dequantise(
    (codes, scales): (&FlexTensor, &FlexTensor),
    from: usize,
    count: usize,
    page: PageShape,
    format: &dyn Format,
) -> FlexTensor {
    let codes: &[u32] = codes.storage();
    let scales: &[u16] = bytemuck::cast_slice(scales.storage::<u32>());
    let mut rows = vec![0.0; page.batch * page.heads * count * page.head_dim];
    for (head, rows) in rows.chunks_exact_mut(count * page.head_dim).enumerate() {
        let first = head * page.capacity + from;
        format.decode_blocks(
            &codes[first * page.words..][..count * page.words],
            &scales[first * page.scales..][..count * page.scales],
            rows,
        );
    }
    FlexTensor::from_data(TensorData::new(rows, [page.batch, page.heads, count, page.head_dim]))
}
