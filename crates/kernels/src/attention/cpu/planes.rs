//! The packed pages of keys or values, and their decoding tile by tile.

use burn::backend::Flex;
use burn_flex::FlexTensor;

use crate::paged::PageShape;
use crate::paged::{Axis, Rows};

/// The tensors of a side's pages, which [`Planes`] borrows from.
pub(super) fn tensors(rows: &Rows) -> Vec<(FlexTensor, FlexTensor)> {
    let pages = rows.pages.iter().map(|page| {
        let codes = page.codes.clone().try_into_primitive::<Flex>();
        let scales = page.scales.clone().try_into_primitive::<Flex>();
        codes.and_then(|codes| Ok((codes, scales?))).expect("attend::cpu runs on CPU tensors")
    });
    pages.collect()
}

/// Where a tile of one head lies: its page, the head, and its first token in the page.
pub(super) type At = (usize, usize, usize);

/// Codes that are decoded next. Products prefetch them row by row as they go; all at once, the
/// prefetches would stall.
#[derive(Clone, Copy)]
pub(super) struct Prefetch<'a> {
    codes: &'a [u32],
    words: usize,
}

impl Prefetch<'_> {
    pub(super) const NONE: Self = Self { codes: &[], words: 0 };

    /// Prefetches the cache lines that begin within `count` rows from `first` on.
    #[inline(always)]
    pub(super) fn rows(self, first: usize, count: usize) {
        const LINE: usize = 64 / size_of::<u32>();
        let line = |row: usize| row * self.words / LINE * LINE;
        let codes = self.codes.get(line(first)..line(first + count)).unwrap_or(&[]);
        codes.chunks(LINE).for_each(prefetch_line);
    }
}

/// A prefetch into the first-level cache, on the CPUs for which Rust has one.
#[inline(always)]
fn prefetch_line(line: &[u32]) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64, and a hint reads nothing.
    unsafe {
        use std::arch::x86_64::*;
        _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

/// The planes of keys or values as slices.
pub(super) struct Planes<'a> {
    pub(super) rows: &'a Rows,
    pages: Vec<(&'a [u32], &'a [u16])>,
}

impl<'a> Planes<'a> {
    pub(super) fn new(rows: &'a Rows, tensors: &'a [(FlexTensor, FlexTensor)]) -> Self {
        let pages = tensors.iter().map(|(codes, scales)| {
            (codes.storage(), bytemuck::cast_slice(scales.storage::<u32>()))
        });
        Self { rows, pages: pages.collect() }
    }

    /// Decodes tokens of one head; their number is what fits `out`, rows of `d` values. Per channel
    /// whole groups are decoded, `spare` holds them, and what fits is used; the tile then begins
    /// where a group does.
    pub(super) fn decode(&self, at: At, d: usize, out: &mut [f32], spare: &mut Vec<f32>) {
        match self.rows.side.axis {
            Axis::Token => self.decode_rows(at, out),
            Axis::Channel => {
                let group = self.rows.side.group();
                let tokens = out.len() / d;
                spare.resize(tokens.next_multiple_of(group) * d, 0.0);
                self.decode_rows(at, spare);
                for (token, row) in out.chunks_exact_mut(d).enumerate() {
                    let channels = spare[token / group * group * d..].chunks_exact(group);
                    for (value, channel) in row.iter_mut().zip(channels) {
                        *value = channel[token % group];
                    }
                }
            }
        }
    }

    /// The codes of a tile of `rows` rows that is decoded next; none after the last page.
    pub(super) fn prefetch(&self, (page, head, from): At, rows: usize) -> Prefetch<'a> {
        let PageShape { capacity, words, .. } = self.rows.shape;
        let first = head * capacity + self.rows.rows_of(from);
        let codes = self.pages.get(page).map_or(&[][..], |(codes, _)| &codes[first * words..]);
        Prefetch { codes: &codes[..codes.len().min(rows * words)], words }
    }

    /// Decodes rows in the order in which they are stored: token by token, or group by group where
    /// they are per channel.
    pub(super) fn decode_rows(&self, (page, head, from): At, out: &mut [f32]) {
        let PageShape { capacity, head_dim, words, scales, .. } = self.rows.shape;
        let rows = out.len() / head_dim;
        let first = head * capacity + self.rows.rows_of(from);
        let (codes, all_scales) = self.pages[page];
        self.rows.side.format.decode_blocks(
            &codes[first * words..][..rows * words],
            &all_scales[first * scales..][..rows * scales],
            out,
        );
    }
}
