//! The packed store: pages of 256 tokens, keys and values each in a format of their own.
//!
//! A full page stays where it is, and the next one is allocated beside it. So appending costs the
//! same however much is held, at most 255 tokens of room are spare, and no copy of the cache exists
//! at any time. On GPUs, where every page costs attention a launch, two full pages of one size are
//! joined: a token is copied, packed as it is, at most six times in its life.

mod append;
mod coding;
mod dequantise;
mod gather;
mod ops;
mod programs;
mod rows;
mod shape;

use std::ops::Range;

use crate::device::{Context, is_cpu};
use crate::error::KernelError;
use crate::footprint::Footprint;
use crate::geometry::LayerGeometry;
use crate::tokens::Append;
use crate::view::{CacheView, Tile};

pub use programs::shader_sources;
pub use rows::{Axis, Side};
pub(crate) use rows::{MAX_BUFFER, Page, Rows};
pub use shape::PageShape;

/// Tokens in one page: the step in which memory grows, as in llama.cpp.
pub const PAGE_TOKENS: usize = 256;

/// Keys in one format and values in another.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) geometry: LayerGeometry,
    pub(crate) context: Context,
    pub(crate) keys: Rows,
    pub(crate) values: Rows,
    pub(crate) tokens: usize,
}

impl Store {
    /// An empty store; it allocates with the first token.
    ///
    /// # Errors
    /// When a format's block does not divide head_dim, or the format can't run on the device.
    pub(crate) fn new(
        geometry: &LayerGeometry,
        context: &Context,
        keys: Side,
        values: Side,
    ) -> Result<Self, KernelError> {
        Ok(Self {
            keys: Rows::new(geometry, context, keys)?,
            values: Rows::new(geometry, context, values)?,
            geometry: geometry.clone(),
            context: context.clone(),
            tokens: 0,
        })
    }

    /// Both sides, keys first.
    fn sides(&mut self) -> [&mut Rows; 2] {
        [&mut self.keys, &mut self.values]
    }

    /// Tokens must be appended in multiples of this: 1, or a block of a per-channel side.
    fn group(&self) -> usize {
        self.keys.side.group().max(self.values.side.group())
    }

    /// Stores new tokens. On `Err` nothing has changed.
    ///
    /// # Errors
    /// When shapes or the position do not fit.
    pub(crate) fn append(&mut self, new: Append) -> Result<(), KernelError> {
        new.check(&self.geometry)?;
        let fresh = new.tokens();
        if new.position != self.tokens {
            return Err(KernelError::Position { expected: self.tokens, got: new.position });
        }
        if !fresh.is_multiple_of(self.group()) {
            return Err(KernelError::Unsupported {
                what: format!(
                    "{fresh} tokens appended to a per-channel cache, which packs {} at a time",
                    self.group()
                ),
                fix: "put a window around it that holds a block in full precision".to_owned(),
            });
        }
        let mut done = 0;
        while done < fresh {
            let held = self.tokens + done;
            let (index, at) = self.keys.find(held);
            let room = self.keys.pages.get(index).map_or(PAGE_TOKENS, |page| page.tokens - at);
            let count = room.min(fresh - done);
            let device = self.context.device.clone();
            let merges = !is_cpu(&device);
            let part = new.part(done..done + count, 0);
            for (rows, new) in self.sides().into_iter().zip([part.keys, part.values]) {
                if index == rows.pages.len() {
                    rows.add_page(&device);
                }
                rows.write(index, at, new);
                if merges {
                    rows.merge(held + count);
                }
            }
            done += count;
        }
        self.tokens += fresh;
        Ok(())
    }

    /// Bytes of live buffers.
    pub(crate) fn footprint(&self) -> Footprint {
        self.keys.footprint(self.tokens) + self.values.footprint(self.tokens)
    }

    /// Forgets every token and gives the memory back.
    pub(crate) fn reset(&mut self) {
        self.keys.pages.clear();
        self.values.pages.clear();
        self.tokens = 0;
    }

    /// Keeps the tokens at the indices `kept`, which ascend; packed rows are copied, not
    /// re-encoded.
    ///
    /// # Errors
    /// When a side is per channel, or an index is not one of a token held.
    pub(crate) fn keep(&mut self, kept: &[usize]) -> Result<(), KernelError> {
        if self.group() > 1 {
            return Err(KernelError::Unsupported {
                what: "a per-channel cache packs groups of tokens and can't drop single ones"
                    .to_owned(),
                fix: "evict from a policy of per-token formats, such as k8v4".to_owned(),
            });
        }
        if !kept.is_sorted_by(|a, b| a < b) || kept.last().is_some_and(|last| *last >= self.tokens)
        {
            return Err(KernelError::Shape {
                what: "tokens to keep",
                expected: format!("ascending indices below {}", self.tokens),
                got: format!("{kept:?}"),
            });
        }
        // Pages before the first gap stay as they are.
        let same = kept.iter().enumerate().take_while(|(i, token)| i == *token).count();
        if same == self.tokens {
            return Ok(());
        }
        let (first, row) = self.keys.find(same);
        let untouched = same - row;
        let device = self.context.device.clone();
        for rows in self.sides() {
            let sources: Vec<_> = kept[untouched..].iter().map(|token| rows.find(*token)).collect();
            let old = rows.pages.split_off(first);
            let mut at = untouched;
            for run in sources.chunk_by(|a, b| a.0 == b.0) {
                let mut run = run;
                while !run.is_empty() {
                    let (index, row) = rows.find(at);
                    if index == rows.pages.len() {
                        rows.add_page(&device);
                    }
                    let room = rows.pages[index].tokens - row;
                    let (now, later) = run.split_at(run.len().min(room));
                    let from = now.iter().map(|(_, token)| *token as u32).collect();
                    rows.gather(&old[now[0].0 - first], from, index, row);
                    at += now.len();
                    run = later;
                }
            }
        }
        self.tokens = kept.len();
        Ok(())
    }
}

impl CacheView for Store {
    fn tokens(&self) -> usize {
        self.tokens
    }

    fn tiles(&self) -> usize {
        self.tokens.div_ceil(PAGE_TOKENS)
    }

    fn tile_tokens(&self, index: usize) -> Range<usize> {
        index * PAGE_TOKENS..self.tokens.min((index + 1) * PAGE_TOKENS)
    }

    fn tile(&self, index: usize) -> Result<Tile, KernelError> {
        let tokens = self.tile_tokens(index);
        Ok(Tile {
            keys: self.keys.read(tokens.start, tokens.len()),
            values: self.values.read(tokens.start, tokens.len()),
            tokens,
        })
    }
}
