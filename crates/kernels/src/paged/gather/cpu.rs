//! Copying packed rows on the CPU.

use burn_flex::FlexTensor;

use super::Move;
use crate::paged::PageShape;

/// See [`CacheOps::gather`](crate::paged::ops::CacheOps::gather).
pub(in crate::paged) fn gather(
    (codes, scales): (FlexTensor, FlexTensor),
    (mut to_codes, mut to_scales): (FlexTensor, FlexTensor),
    Move { rows, at, shapes: (source, target) }: &Move,
) -> (FlexTensor, FlexTensor) {
    let PageShape { words, scales: scale_words, .. } = *target;
    let from: &[u32] = codes.storage();
    let from_scales: &[u16] = bytemuck::cast_slice(scales.storage::<u32>());
    let to: &mut [u32] = to_codes.storage_mut();
    let to_scale_words: &mut [u16] = bytemuck::cast_slice_mut(to_scales.storage_mut::<u32>());
    for head in 0..target.batch * target.heads {
        for (i, row) in rows.iter().enumerate() {
            let (from_row, to_row) =
                (head * source.capacity + *row as usize, head * target.capacity + at + i);
            to[to_row * words..][..words].copy_from_slice(&from[from_row * words..][..words]);
            to_scale_words[to_row * scale_words..][..scale_words]
                .copy_from_slice(&from_scales[from_row * scale_words..][..scale_words]);
        }
    }
    (to_codes, to_scales)
}
