//! The operations of a packed cache, each in a folder: the door (`mod.rs`), Rust for the CPU
//! (`cpu.rs`), WGSL for GPUs (`kernel.wgsl`, `launch.rs`) or a plain tensor-op `reference.rs`.

pub(crate) mod append;
pub(crate) mod attend;
pub(crate) mod dequantise;
pub(crate) mod gather;
mod page;
pub mod simd;
mod wgsl;

use std::sync::Arc;

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Flex, Wgpu, backend_extension};
use burn::tensor::Device;

use crate::Format;

pub use attend::gpu::{MatrixUnits, sources as attention_sources};
pub use attend::reference::{attend as reference_attention, received as attention_received};
pub use page::PageShape;
pub(crate) use page::buffer_bytes;
pub use wgsl::shader_sources;
pub(crate) use wgsl::validate as validate_shaders;

/// Bytes of a buffer that every WebGPU adapter can bind.
pub(crate) const MAX_BUFFER: usize = 128 << 20;

/// The operations that a device must offer to hold packed pages.
///
/// Codes are U32 tensors `[B, Hkv, capacity, words]`; scales are U32 tensors
/// `[B, Hkv, capacity · scales / 2]`, two f16 to a word. Formats without scales carry one empty
/// word, because a GPU can't bind nothing.
#[backend_extension(Cube, Flex)]
pub trait CacheOps: Backend {
    /// Packs `rows` `[B, Hkv, S_new, D]` into the page from token `at` on, in place where the two
    /// planes have one owner. Nothing that is stored already is read or changed.
    fn append_quantised(
        rows: FloatTensor<Self>,
        codes: IntTensor<Self>,
        scales: IntTensor<Self>,
        at: usize,
        shape: PageShape,
        format: Arc<dyn Format>,
    ) -> (IntTensor<Self>, IntTensor<Self>);

    /// Unpacks `rows` rows of a page from row `from` on: `[B, Hkv, rows, row length]`, f32.
    fn dequantise(
        codes: IntTensor<Self>,
        scales: IntTensor<Self>,
        from: usize,
        rows: usize,
        shape: PageShape,
        format: Arc<dyn Format>,
    ) -> FloatTensor<Self>;

    /// Copies the packed `rows` of one page to another page, from row `at` on. The two shapes differ
    /// in capacity at most.
    fn gather(
        codes: IntTensor<Self>,
        scales: IntTensor<Self>,
        to_codes: IntTensor<Self>,
        to_scales: IntTensor<Self>,
        rows: Arc<[u32]>,
        at: usize,
        shapes: (PageShape, PageShape),
    ) -> (IntTensor<Self>, IntTensor<Self>);
}

impl CacheOps for Flex {
    fn append_quantised(
        rows: FloatTensor<Self>,
        codes: IntTensor<Self>,
        scales: IntTensor<Self>,
        at: usize,
        shape: PageShape,
        format: Arc<dyn Format>,
    ) -> (IntTensor<Self>, IntTensor<Self>) {
        append::cpu::append(rows, codes, scales, at, shape, &*format)
    }

    fn dequantise(
        codes: IntTensor<Self>,
        scales: IntTensor<Self>,
        from: usize,
        rows: usize,
        shape: PageShape,
        format: Arc<dyn Format>,
    ) -> FloatTensor<Self> {
        dequantise::cpu::dequantise((&codes, &scales), from, rows, shape, &*format)
    }

    fn gather(
        codes: IntTensor<Self>,
        scales: IntTensor<Self>,
        to_codes: IntTensor<Self>,
        to_scales: IntTensor<Self>,
        rows: Arc<[u32]>,
        at: usize,
        shapes: (PageShape, PageShape),
    ) -> (IntTensor<Self>, IntTensor<Self>) {
        gather::cpu::gather((codes, scales), (to_codes, to_scales), &rows, at, shapes)
    }
}

impl CacheOps for Wgpu {
    fn append_quantised(
        rows: FloatTensor<Self>,
        codes: IntTensor<Self>,
        scales: IntTensor<Self>,
        at: usize,
        shape: PageShape,
        format: Arc<dyn Format>,
    ) -> (IntTensor<Self>, IntTensor<Self>) {
        append::launch::append(rows, codes, scales, at, shape, format)
    }

    fn dequantise(
        codes: IntTensor<Self>,
        scales: IntTensor<Self>,
        from: usize,
        rows: usize,
        shape: PageShape,
        format: Arc<dyn Format>,
    ) -> FloatTensor<Self> {
        dequantise::launch::dequantise((codes, scales), from, rows, shape, format)
    }

    fn gather(
        codes: IntTensor<Self>,
        scales: IntTensor<Self>,
        to_codes: IntTensor<Self>,
        to_scales: IntTensor<Self>,
        rows: Arc<[u32]>,
        at: usize,
        shapes: (PageShape, PageShape),
    ) -> (IntTensor<Self>, IntTensor<Self>) {
        gather::launch::gather((codes, scales), (to_codes, to_scales), &rows, at, shapes)
    }
}

/// Whether tensors of this device live in the CPU back end, where Rust kernels read them in place.
pub fn is_cpu(device: &Device) -> bool {
    matches!(device.as_dispatch(), burn::backend::DispatchDevice::Flex(_))
}
