//! Packing on the CPU.

use burn_flex::FlexTensor;

use crate::formats::Format;
use crate::paged::PageShape;
use crate::paged::coding::Coding;
use crate::wide;

/// Values that are decoded again at a time, to look for those that the format can't hold.
const CHECKED: usize = 4096;

/// See [`CacheOps::append_quantised`](crate::paged::ops::CacheOps::append_quantised).
pub(in crate::paged) fn append(
    rows: FlexTensor,
    mut codes: FlexTensor,
    mut scales: FlexTensor,
    at: usize,
    page: PageShape,
    coding: &Coding,
) -> (FlexTensor, FlexTensor) {
    let rows = rows.to_contiguous();
    let values: &[f32] = rows.as_slice().expect("rows were made contiguous, and are f32");
    let new = values.len() / (page.batch * page.heads * page.head_dim);
    let format = &*coding.format;
    let mut lost = 0;
    {
        let codes: &mut [u32] = codes.storage_mut();
        let scales: &mut [u16] = bytemuck::cast_slice_mut(scales.storage_mut::<u32>());
        for (head, values) in values.chunks_exact(new * page.head_dim).enumerate() {
            let first = head * page.capacity + at;
            let codes = &mut codes[first * page.words..][..new * page.words];
            let scales = &mut scales[first * page.scales..][..new * page.scales];
            format.encode_blocks(values, codes, scales);
            lost += overflows(format, (values, codes, scales), page);
        }
    }
    coding.counter.add(values.len() as u64, lost);
    (codes, scales)
}

/// The largest f16. Formats whose scales are f16 overflow beyond it, and others may cut what is
/// larger.
const LARGEST_HALF: f32 = 65_504.0;

/// A value that is so many times as large as anything that is left of its block was cut.
const CUT: f32 = 16.0;

/// Finite values of some rows that decode to infinity or to no number, or that were cut.
fn overflows(
    format: &dyn Format,
    (values, codes, scales): (&[f32], &[u32], &[u16]),
    page: PageShape,
) -> u64 {
    let rows = (CHECKED / page.head_dim).max(1);
    let block = format.layout().values;
    let mut decoded = vec![0.0; (rows * page.head_dim).min(values.len())];
    let mut lost = 0;
    for (i, values) in values.chunks(rows * page.head_dim).enumerate() {
        let (first, count) = (i * rows, values.len() / page.head_dim);
        let decoded = &mut decoded[..values.len()];
        let codes = &codes[first * page.words..][..count * page.words];
        format.decode_blocks(codes, &scales[first * page.scales..][..count * page.scales], decoded);
        lost += u64::from(no_longer_finite(values, decoded));
        if beyond_half(values) {
            let blocks = values.chunks_exact(block).zip(decoded.chunks_exact(block));
            lost += blocks.map(|(before, after)| cut(before, after)).sum::<u64>();
        }
    }
    lost
}

wide! {
    /// How many of the first values are finite where the second are not.
    fn no_longer_finite<'a>(before: &'a [f32], after: &'a [f32]) -> u32 {
        let pairs = before.iter().zip(after);
        pairs.map(|(before, after)| u32::from(before.is_finite() & !after.is_finite())).sum()
    }
}

wide! {
    /// Whether any value is beyond half precision.
    fn beyond_half<'a>(values: &'a [f32]) -> bool {
        values.iter().fold(false, |any, x| any | (x.abs() > LARGEST_HALF))
    }
}

/// How many values of a block are finite, before and after, and were cut.
fn cut(before: &[f32], after: &[f32]) -> u64 {
    let left = after.iter().filter(|x| x.is_finite()).fold(0.0f32, |max, x| max.max(x.abs()));
    let bound = LARGEST_HALF.max(CUT * left);
    let pairs = before.iter().zip(after);
    pairs.filter(|(x, y)| x.is_finite() && y.is_finite() && x.abs() > bound).count() as u64
}
