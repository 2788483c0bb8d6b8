//! Views of different heads or sequences, joined into one.

use std::ops::Range;

use burn::Tensor;

use super::{CacheView, Tile};
use crate::error::KernelError;

/// Views concatenated along axis `B` or `Hkv`. Where one holds fewer tokens than others, its rows
/// end in zeros.
pub struct Beside<'a> {
    /// 0 for sequences, 1 for key-value heads.
    dim: usize,
    /// Each view, and its size along the axis.
    parts: Vec<(Box<dyn CacheView + 'a>, usize)>,
}

impl<'a> Beside<'a> {
    /// Views of neighbouring key-value heads, each with the number of its heads.
    pub fn heads(parts: Vec<(Box<dyn CacheView + 'a>, usize)>) -> Self {
        Self { dim: 1, parts }
    }

    /// Views of one sequence each.
    pub fn sequences(parts: Vec<Box<dyn CacheView + 'a>>) -> Self {
        Self { dim: 0, parts: parts.into_iter().map(|part| (part, 1)).collect() }
    }

    /// Views of one key-value head of one sequence each, `[B][Hkv]`.
    pub fn grid(views: Vec<Box<dyn CacheView + 'a>>, kv_heads: usize) -> Self {
        let mut sequences: Vec<Vec<_>> = Vec::new();
        for (i, view) in views.into_iter().enumerate() {
            if i % kv_heads == 0 {
                sequences.push(Vec::new());
            }
            sequences.last_mut().expect("one was just pushed").push((view, 1));
        }
        let sequence = |heads| Box::new(Self::heads(heads)) as Box<dyn CacheView + 'a>;
        Self::sequences(sequences.into_iter().map(sequence).collect())
    }

    fn longest(&self) -> Option<&(dyn CacheView + 'a)> {
        let views = self.parts.iter().map(|(view, _)| &**view);
        views.max_by_key(|view| (view.tiles(), view.tokens()))
    }

    /// The view that holds place `index` of the axis, and the place in it.
    fn find(&self, index: usize) -> Option<(&(dyn CacheView + 'a), usize)> {
        let mut first = 0;
        for (view, size) in &self.parts {
            if index < first + size {
                return Some((&**view, index - first));
            }
            first += size;
        }
        None
    }
}

impl CacheView for Beside<'_> {
    fn tokens(&self) -> usize {
        self.parts.iter().map(|(view, _)| view.tokens()).max().unwrap_or(0)
    }

    fn tiles(&self) -> usize {
        self.longest().map_or(0, CacheView::tiles)
    }

    fn tile_tokens(&self, index: usize) -> Range<usize> {
        self.longest().map_or(0..0, |view| view.tile_tokens(index))
    }

    fn tile(&self, index: usize) -> Result<Tile, KernelError> {
        let start = self.tile_tokens(index).start;
        let mut tiles = Vec::new();
        for (view, _) in &self.parts {
            tiles.push(if index < view.tiles() { Some(view.tile(index)?) } else { None });
        }
        let uneven = tiles.iter().flatten().find(|tile| tile.tokens.start != start);
        let (Some(any), None) = (tiles.iter().flatten().next().cloned(), uneven) else {
            return Err(KernelError::Shape {
                what: "tile",
                expected: format!("tokens from {start} on of every head"),
                got: uneven.map_or("none".to_owned(), |tile| format!("{:?}", tile.tokens)),
            });
        };
        let end = tiles.iter().flatten().map(|tile| tile.tokens.end).max().unwrap_or(start);
        let side = |rows: fn(&Tile) -> &Tensor<4>| {
            let parts = tiles.iter().zip(&self.parts).map(|(tile, (_, size))| {
                let mut shape = rows(&any).dims();
                shape[self.dim] = *size;
                padded(tile.as_ref().map(rows), shape, end - start, &rows(&any).device())
            });
            Tensor::cat(parts.collect(), self.dim)
        };
        Ok(Tile { keys: side(|t| &t.keys), values: side(|t| &t.values), tokens: start..end })
    }

    fn positions(&self, sequence: usize, head: usize) -> Vec<usize> {
        let found = self.find(if self.dim == 0 { sequence } else { head });
        found.map_or(Vec::new(), |(view, at)| match self.dim {
            0 => view.positions(at, head),
            _ => view.positions(sequence, at),
        })
    }
}

/// Rows `[B, Hkv, n, D]` padded with zeros to `tokens` tokens; all zeros where there are no rows.
fn padded(
    rows: Option<&Tensor<4>>,
    [b, h, _, d]: [usize; 4],
    tokens: usize,
    device: &burn::tensor::Device,
) -> Tensor<4> {
    let held = rows.map_or(0, |rows| rows.dims()[2]);
    let zeros = || Tensor::zeros([b, h, tokens - held, d], device);
    match rows {
        Some(rows) if held == tokens => rows.clone(),
        Some(rows) => Tensor::cat(vec![rows.clone(), zeros()], 2),
        None => zeros(),
    }
}
