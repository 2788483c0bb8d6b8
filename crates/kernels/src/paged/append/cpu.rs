//! Packing on the CPU.

use burn_flex::FlexTensor;

use crate::formats::Format;
use crate::paged::PageShape;

/// See [`CacheOps::append_quantised`](crate::paged::ops::CacheOps::append_quantised).
pub(in crate::paged) fn append(
    rows: FlexTensor,
    mut codes: FlexTensor,
    mut scales: FlexTensor,
    at: usize,
    page: PageShape,
    format: &dyn Format,
) -> (FlexTensor, FlexTensor) {
    let rows = rows.to_contiguous();
    let values: &[f32] = rows.as_slice().expect("rows were made contiguous, and are f32");
    let new = values.len() / (page.batch * page.heads * page.head_dim);
    {
        let codes: &mut [u32] = codes.storage_mut();
        let scales: &mut [u16] = bytemuck::cast_slice_mut(scales.storage_mut::<u32>());
        for (head, values) in values.chunks_exact(new * page.head_dim).enumerate() {
            let first = head * page.capacity + at;
            format.encode_blocks(
                values,
                &mut codes[first * page.words..][..new * page.words],
                &mut scales[first * page.scales..][..new * page.scales],
            );
        }
    }
    (codes, scales)
}
