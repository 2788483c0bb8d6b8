//! The keys, or the values, of one layer: pages of packed rows.

use std::sync::Arc;

use burn::Tensor;
use burn::backend::{Dispatch, DispatchTensor};
use burn::tensor::{DType, Device, Int};

use super::coding::Coding;
use super::gather::Move;
use super::ops::CacheOps;
use super::programs::PagePrograms;
use super::shape::buffer_bytes;
use super::{PAGE_TOKENS, PageShape};
use crate::device::{Context, is_cpu};
use crate::error::KernelError;
use crate::footprint::Footprint;
use crate::formats::Format;
use crate::geometry::LayerGeometry;

/// The most values of one row, so that kernels can hold a row on their stack.
const MAX_HEAD_DIM: usize = 1024;

/// Along what the values of one block lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Axis {
    /// Along head_dim of one token: each token has scales of its own.
    Token,
    /// Along neighbouring tokens of one channel: each channel has scales of its own, and tokens
    /// come in groups of a block.
    Channel,
}

/// How one side of a cache is stored.
#[derive(Debug, Clone)]
pub struct Side {
    /// The storage format.
    pub format: Arc<dyn Format>,
    /// The axis that its blocks lie along.
    pub axis: Axis,
}

impl Side {
    /// Blocks along head_dim.
    pub fn per_token(format: Arc<dyn Format>) -> Self {
        Self { format, axis: Axis::Token }
    }

    /// Blocks along the tokens of one channel.
    pub fn per_channel(format: Arc<dyn Format>) -> Self {
        Self { format, axis: Axis::Channel }
    }

    /// Tokens that must be appended together: 1, or a block of them per channel.
    pub fn group(&self) -> usize {
        match self.axis {
            Axis::Token => 1,
            Axis::Channel => self.format.layout().values,
        }
    }
}

/// Bytes of a buffer that every WebGPU adapter can bind.
pub(crate) const MAX_BUFFER: usize = 128 << 20;

/// Full pages of one size that become one on a GPU, where every page costs a launch.
const MERGE: usize = 2;

/// The largest page that still grows: merged pages are of 256, 512, 1,024 … 16,384 tokens.
const MERGE_BELOW: usize = 16_384;

/// The planes of one page: codes U32 `[B, Hkv, rows, words]`, scales U32 `[B, Hkv, scale words]`.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) codes: Tensor<4, Int>,
    pub(crate) scales: Tensor<3, Int>,
    /// Per token a row is head_dim values of a token; per channel it is a group of tokens of one
    /// channel, and a group has head_dim rows.
    pub(crate) shape: PageShape,
    /// Tokens that it has room for.
    pub(crate) tokens: usize,
}

/// The keys, or the values, of one layer.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) side: Side,
    coding: Coding,
    /// The shape of a new page.
    pub(crate) shape: PageShape,
    pub(crate) pages: Vec<Page>,
    head_dim: usize,
}

impl Rows {
    pub(super) fn new(
        geometry: &LayerGeometry,
        context: &Context,
        side: Side,
    ) -> Result<Self, KernelError> {
        let (head_dim, layout) = (geometry.head_dim, side.format.layout());
        if head_dim > MAX_HEAD_DIM {
            return Err(KernelError::Shape {
                what: "head_dim",
                expected: format!("at most {MAX_HEAD_DIM}"),
                got: head_dim.to_string(),
            });
        }
        let (along, row) = match side.axis {
            Axis::Token => ("head_dim", head_dim),
            Axis::Channel => ("the tokens of a page", PAGE_TOKENS),
        };
        if !row.is_multiple_of(layout.values) {
            return Err(KernelError::BlockSize {
                format: side.format.name().to_owned(),
                block: layout.values,
                along,
                size: row,
            });
        }
        let (row, rows) = match side.axis {
            Axis::Token => (head_dim, PAGE_TOKENS),
            Axis::Channel => (layout.values, PAGE_TOKENS / layout.values * head_dim),
        };
        let shape = PageShape::new(layout, geometry.batch, geometry.kv_heads, rows, row);
        let programs = match is_cpu(&context.device) {
            true => None,
            false => Some(PagePrograms::new(&*side.format, shape, &context.programs).map_err(
                |problem| KernelError::Shader { format: side.format.name().to_owned(), problem },
            )?),
        };
        let counter = context.counter.clone();
        let coding = Coding { format: side.format.clone(), programs, counter };
        Ok(Self { side, coding, shape, pages: Vec::new(), head_dim })
    }

    pub(super) fn add_page(&mut self, device: &Device) {
        self.pages.push(Page {
            codes: Tensor::zeros(self.shape.codes(), (device, DType::U32)),
            scales: Tensor::zeros(self.shape.scale_plane(), (device, DType::U32)),
            shape: self.shape,
            tokens: PAGE_TOKENS,
        });
    }

    /// The page that holds a token, and the token's place in it.
    pub(crate) fn find(&self, token: usize) -> (usize, usize) {
        let mut at = token;
        for (index, page) in self.pages.iter().enumerate() {
            if at < page.tokens {
                return (index, at);
            }
            at -= page.tokens;
        }
        (self.pages.len(), at)
    }

    /// Joins the last pages while enough of one size are full: each token is copied at most six
    /// times, and no room is left over by it.
    pub(super) fn merge(&mut self, held: usize) {
        loop {
            let Some(first) = self.pages.len().checked_sub(MERGE) else { return };
            let size = self.pages[first].tokens;
            let room: usize = self.pages.iter().map(|page| page.tokens).sum();
            let alike = self.pages[first..].iter().all(|page| page.tokens == size);
            let joined = MERGE * self.pages[first].shape.codes().iter().product::<usize>() * 4;
            if !alike || room > held || size >= MERGE_BELOW || joined > MAX_BUFFER {
                return;
            }
            let parts = self.pages.split_off(first);
            let shape = PageShape { capacity: MERGE * parts[0].shape.capacity, ..parts[0].shape };
            let (codes, scales): (Vec<_>, Vec<_>) =
                parts.into_iter().map(|page| (page.codes, page.scales)).unzip();
            // Without scales the plane is one empty word.
            let scales = match shape.scales {
                0 => scales[0].clone(),
                _ => Tensor::cat(scales, 2),
            };
            let tokens = MERGE * size;
            self.pages.push(Page { codes: Tensor::cat(codes, 2), scales, shape, tokens });
        }
    }

    /// Rows of a page that `tokens` tokens, whole groups of them, occupy.
    pub(crate) fn rows_of(&self, tokens: usize) -> usize {
        match self.side.axis {
            Axis::Token => tokens,
            Axis::Channel => tokens / self.side.group() * self.head_dim,
        }
    }

    /// Packs `new` `[B, Hkv, n, D]` into page `index` from token `at` on.
    pub(super) fn write(&mut self, index: usize, at: usize, new: Tensor<4>) {
        let rows = match self.side.axis {
            Axis::Token => new,
            Axis::Channel => {
                let [b, h, n, d] = new.dims();
                let g = self.side.group();
                let groups = new.reshape([b * h, n / g, g, d]).swap_dims(2, 3);
                groups.reshape([b, h, n / g * d, g])
            }
        };
        let at = self.rows_of(at);
        let (coding, shape) = (self.coding.clone(), self.pages[index].shape);
        self.alter(index, |codes, scales| {
            Dispatch::append_quantised(rows.into_dispatch(), codes, scales, at, shape, coding)
        });
    }

    /// Copies rows `from` of `source` to this page `index`, from row `at` on, as they are packed.
    pub(super) fn gather(&mut self, source: &Page, from: Arc<[u32]>, index: usize, at: usize) {
        let (codes, scales) = (source.codes.clone(), source.scales.clone());
        let shapes = (source.shape, self.pages[index].shape);
        let (rows, coding) = (Move { rows: from, at, shapes }, self.coding.clone());
        self.alter(index, |to_codes, to_scales| {
            let (codes, scales) = (codes.into_dispatch(), scales.into_dispatch());
            Dispatch::gather(codes, scales, to_codes, to_scales, rows, coding)
        });
    }

    /// Runs a kernel on the planes of a page. They leave the page meanwhile, so that they have one
    /// owner and are written in place; a second owner would turn this into a copy of the page.
    fn alter(
        &mut self,
        index: usize,
        kernel: impl FnOnce(DispatchTensor, DispatchTensor) -> (DispatchTensor, DispatchTensor),
    ) {
        let Page { codes, scales, shape, tokens } = self.pages.remove(index);
        let (codes, scales) = kernel(codes.into_dispatch(), scales.into_dispatch());
        let (codes, scales) = (Tensor::from_dispatch(codes), Tensor::from_dispatch(scales));
        self.pages.insert(index, Page { codes, scales, shape, tokens });
    }

    /// Unpacks `tokens` tokens from token `first` on, all of one page: `[B, Hkv, tokens, D]`.
    pub(crate) fn read(&self, first: usize, tokens: usize) -> Tensor<4> {
        let (index, at) = self.find(first);
        let page = &self.pages[index];
        let rows = Tensor::from_dispatch(Dispatch::dequantise(
            page.codes.clone().into_dispatch(),
            page.scales.clone().into_dispatch(),
            self.rows_of(at),
            self.rows_of(tokens),
            page.shape,
            self.coding.clone(),
        ));
        match self.side.axis {
            Axis::Token => rows,
            Axis::Channel => {
                let PageShape { batch: b, heads: h, .. } = self.shape;
                let (g, d) = (self.side.group(), self.head_dim);
                let groups: Tensor<4> = rows.reshape([b * h, tokens / g, d, g]).swap_dims(2, 3);
                groups.reshape([b, h, tokens, d])
            }
        }
    }

    pub(super) fn footprint(&self, tokens: usize) -> Footprint {
        let rows = (self.shape.batch * self.shape.heads * self.rows_of(tokens)) as u64;
        let allocated = self.pages.iter().map(|page| {
            buffer_bytes(&page.codes)
                + if self.shape.scales > 0 { buffer_bytes(&page.scales) } else { 0 }
        });
        Footprint {
            codes: 4 * rows * self.shape.words as u64,
            scales: 2 * rows * self.shape.scales as u64,
            allocated: allocated.sum(),
            ..Footprint::default()
        }
    }
}
