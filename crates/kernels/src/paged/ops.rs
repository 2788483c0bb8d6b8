//! The operations of a page, each in a folder: Rust for the CPU (`cpu.rs`), WGSL for GPUs
//! (`kernel.wgsl`, `launch.rs`).

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Flex, Wgpu, backend_extension};

use super::coding::Coding;
use super::gather::Move;
use super::{PageShape, append, dequantise, gather};

/// The operations that a device must offer to hold packed pages.
///
/// Codes are U32 tensors `[B, Hkv, capacity, words]`; scales are U32 tensors
/// `[B, Hkv, capacity · scales / 2]`, two 16-bit words to one. Formats without scales
/// carry one empty word, because a GPU can't bind an empty buffer.
#[backend_extension(Cube, Flex)]
pub(super) trait CacheOps: Backend {
    /// Packs `rows` `[B, Hkv, S_new, D]` into the page from token `at` on, in place where the two
    /// planes have one owner. Nothing that is stored already is read or changed. Values that the
    /// format can't hold are counted.
    fn append_quantised(
        rows: FloatTensor<Self>,
        codes: IntTensor<Self>,
        scales: IntTensor<Self>,
        at: usize,
        shape: PageShape,
        coding: Coding,
    ) -> (IntTensor<Self>, IntTensor<Self>);

    /// Unpacks `rows` rows of a page from row `from` on: `[B, Hkv, rows, row length]`, f32.
    fn dequantise(
        codes: IntTensor<Self>,
        scales: IntTensor<Self>,
        from: usize,
        rows: usize,
        shape: PageShape,
        coding: Coding,
    ) -> FloatTensor<Self>;

    /// Copies packed rows of one page to another page.
    fn gather(
        codes: IntTensor<Self>,
        scales: IntTensor<Self>,
        to_codes: IntTensor<Self>,
        to_scales: IntTensor<Self>,
        rows: Move,
        coding: Coding,
    ) -> (IntTensor<Self>, IntTensor<Self>);
}

impl CacheOps for Flex {
    fn append_quantised(
        rows: FloatTensor<Self>,
        codes: IntTensor<Self>,
        scales: IntTensor<Self>,
        at: usize,
        shape: PageShape,
        coding: Coding,
    ) -> (IntTensor<Self>, IntTensor<Self>) {
        append::cpu::append(rows, codes, scales, at, shape, &coding)
    }

    fn dequantise(
        codes: IntTensor<Self>,
        scales: IntTensor<Self>,
        from: usize,
        rows: usize,
        shape: PageShape,
        coding: Coding,
    ) -> FloatTensor<Self> {
        dequantise::cpu::dequantise((&codes, &scales), from, rows, shape, &*coding.format)
    }

    fn gather(
        codes: IntTensor<Self>,
        scales: IntTensor<Self>,
        to_codes: IntTensor<Self>,
        to_scales: IntTensor<Self>,
        rows: Move,
        _: Coding,
    ) -> (IntTensor<Self>, IntTensor<Self>) {
        gather::cpu::gather((codes, scales), (to_codes, to_scales), &rows)
    }
}

impl CacheOps for Wgpu {
    fn append_quantised(
        rows: FloatTensor<Self>,
        codes: IntTensor<Self>,
        scales: IntTensor<Self>,
        at: usize,
        shape: PageShape,
        coding: Coding,
    ) -> (IntTensor<Self>, IntTensor<Self>) {
        append::launch::append(rows, codes, scales, at, shape, &coding)
    }

    fn dequantise(
        codes: IntTensor<Self>,
        scales: IntTensor<Self>,
        from: usize,
        rows: usize,
        shape: PageShape,
        coding: Coding,
    ) -> FloatTensor<Self> {
        let block = coding.format.layout().values;
        let program = (&coding.programs().dequantise, block);
        dequantise::launch::dequantise((codes, scales), from, rows, shape, program)
    }

    fn gather(
        codes: IntTensor<Self>,
        scales: IntTensor<Self>,
        to_codes: IntTensor<Self>,
        to_scales: IntTensor<Self>,
        rows: Move,
        coding: Coding,
    ) -> (IntTensor<Self>, IntTensor<Self>) {
        let program = &coding.programs().gather;
        gather::launch::gather((codes, scales), (to_codes, to_scales), &rows, program)
    }
}
