//! The program of attention for prompts: each tile of the cache is decoded once for 64 query rows.

use super::reader::Plan;
use super::side::in_f32;
use crate::formats::Format;

/// Invocations of a workgroup, two for each row.
const GROUP: usize = 2 * ROWS;

/// Query rows of a workgroup.
const ROWS: usize = 64;

/// Up to so many rows, most of a workgroup would idle.
const FEW: usize = ROWS / 2;

/// Heads of 64 channels have too few products for each value that is loaded, and the sums of larger
/// heads do not fit the registers.
const HEAD_DIM: usize = 128;

/// Vectors of four channels that the invocations of one row hold together.
const ACROSS: usize = 16;

/// How the work of a workgroup is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tiles {
    /// Tokens that are decoded at a time.
    step: usize,
}

impl Tiles {
    /// The plan for a number of rows; `None` for few rows and for heads of other sizes, where the
    /// program that keeps everything in registers is as fast or faster.
    pub(super) fn new(rows: usize, head_dim: usize) -> Option<Self> {
        (rows > FEW && head_dim == HEAD_DIM).then_some(Self { step: 16 })
    }
}

impl Plan for Tiles {
    fn rows(&self) -> usize {
        ROWS
    }

    fn step(&self) -> usize {
        self.step
    }

    fn group(&self) -> usize {
        GROUP
    }

    fn text(&self, keys: &dyn Format, values: &dyn Format, d: usize) -> Option<String> {
        let eights = self.step * d / 8;
        let sizes = [
            ("GROUP", GROUP),
            ("R", ROWS),
            ("CHUNK", self.step),
            ("D4", d / 4),
            ("SHARE", self.step / 8),
            ("WIDE", d / 4 / ACROSS),
            ("EIGHTS", eights.div_ceil(GROUP)),
            ("LAST", eights - 1),
        ];
        in_f32(&sizes, keys, values, d, include_str!("tiles.wgsl"))
    }
}
