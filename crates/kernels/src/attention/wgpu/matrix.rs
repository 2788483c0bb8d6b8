//! The program of attention on matrix units, and when it runs.

use super::halves;
use super::reader::Plan;
use super::side::{SPLIT, side};
use crate::device::MatrixUnits;
use crate::formats::Format;
use crate::wgsl::{PRELUDE, constants, unroll};

/// Subgroups of a workgroup: as many as there are tiles of scores for the most rows.
const SUBGROUPS: usize = 4;

/// Up to so many rows, f32 on vectors is as fast: too few rows share a decoded value.
const FEW: usize = 8;

/// Workgroup memory of the GPUs that have matrix units.
const SHARED: usize = 32 << 10;

/// How the work of a workgroup is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Units {
    units: MatrixUnits,
    /// Query rows.
    rows: usize,
}

impl Units {
    /// The plan for a number of rows; `None` where they are few, or sizes do not fit.
    pub(super) fn new(units: MatrixUnits, rows: usize, head_dim: usize) -> Option<Self> {
        let plan = Self { units, rows: rows.next_power_of_two().min(2 * units.tile) };
        let fits = rows > FEW && units.divide(head_dim) && plan.bytes(head_dim) <= SHARED;
        fits.then_some(plan)
    }

    /// Rows with those that fill the last matrix.
    fn padded(self) -> usize {
        self.rows.next_multiple_of(self.units.tile)
    }

    /// Invocations that share the softmax of a row.
    fn sharers(self) -> usize {
        (self.group() / self.rows).min(self.units.lanes).min(self.step())
    }

    /// Scores from one row to the next: rows that a subgroup reads at a time lie in different
    /// banks.
    fn score_row(self) -> usize {
        self.step() + self.sharers().clamp(4, 16)
    }

    fn scores(self) -> usize {
        (self.padded() * self.score_row()).max(SUBGROUPS * self.units.tile * self.units.tile)
    }

    /// Vectors of a row of a tile, with 16 bytes between rows, so that matrices are read without
    /// bank conflicts.
    fn row(head_dim: usize) -> usize {
        head_dim / 4 + 2
    }

    fn weight_row(self) -> usize {
        self.step() / 4 + 2
    }

    /// Vectors of f16: the queries at first, then a tile and the weights.
    fn halves(self, head_dim: usize) -> usize {
        let row = Self::row(head_dim);
        (self.step() * row + self.padded() * self.weight_row()).max(self.padded() * row)
    }

    fn bytes(self, head_dim: usize) -> usize {
        4 * self.padded() + 4 * self.scores() + 8 * self.halves(head_dim) + 4 * (SUBGROUPS + 1)
    }
}

impl Plan for Units {
    fn rows(&self) -> usize {
        self.rows
    }

    fn step(&self) -> usize {
        2 * self.units.tile
    }

    fn group(&self) -> usize {
        SUBGROUPS * self.units.lanes
    }

    fn text(&self, keys: &dyn Format, values: &dyn Format, d: usize) -> Option<String> {
        let MatrixUnits { tile, lanes } = self.units;
        let (step, padded) = (self.step(), self.padded());
        let eights = step * d / 8;
        let mut text = "enable f16;\nenable wgpu_cooperative_matrix;\n".to_owned();
        text += &constants(&[
            ("GROUP", self.group()),
            ("SUBGROUPS", SUBGROUPS),
            ("LANES", lanes),
            ("LANE_BITS", lanes.ilog2() as usize),
            ("T", tile),
            ("CHUNK", step),
            ("CHUNK_TILES", step / tile),
            ("HEAD_TILES", d / tile),
            ("R", padded),
            ("ROWS", self.rows),
            ("ROW", Units::row(d)),
            ("SCORE_ROW", self.score_row()),
            ("SCORES", self.scores()),
            ("WEIGHT_ROW", self.weight_row()),
            ("HALVES", self.halves(d)),
            ("EIGHTS", eights.div_ceil(self.group())),
            ("LAST", eights - 1),
            ("SHARERS", self.sharers()),
            ("SHARER_BITS", self.sharers().ilog2() as usize),
            ("SHARE", step / self.sharers()),
            ("OWN", (padded / tile * (d / tile)).div_ceil(SUBGROUPS)),
            ("HEAD_DIM", d),
        ]);
        for (name, of) in [("Left", "f16, A"), ("Right", "f16, B"), ("Sum", "f32, C")] {
            text += &format!("alias {name} = coop_mat{tile}x{tile}<{of}>;\n");
        }
        text += PRELUDE;
        text += SPLIT;
        text += "struct Halves { low: vec4<f16>, high: vec4<f16> }\n";
        for (prefix, name, format, binding) in
            [("key", "Key", keys, 1), ("value", "Value", values, 3)]
        {
            text += &side(prefix, name, format, binding, d)?;
            text += &halves::text(prefix, name, format)?;
        }
        text += include_str!("matrix.wgsl");
        Some(unroll(&text))
    }
}
