//! The program of attention on matrix units, and when it runs.

use burn::tensor::wgpu::wgpu;

use super::text::{STRETCH, constants, side};
use super::{Program, halves};
use crate::Format;
use crate::kernels::wgsl::{Kernel, unroll};

/// Subgroups of a workgroup: as many as there are tiles of scores where it has the most rows.
const TEAMS: usize = 4;

/// Up to so many rows, f32 on vectors is as fast: a decoded value serves too few of them.
const FEW: usize = 8;

/// Workgroup memory of the GPUs that have matrix units.
const SHARED: usize = 32 << 10;

/// Units of a GPU that multiply matrices of f16 into sums of f32: tensor cores and their like, which
/// wgpu calls cooperative matrices.
///
/// Attention on them rounds what the cache decodes to, the queries and the weights to f16 (11 bits), and
/// what is beyond 65,504 to infinity. What a cache is given and stores does not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatrixUnits {
    /// Rows and columns of a matrix: 8 or 16.
    tile: usize,
    /// Invocations of a subgroup.
    lanes: usize,
}

impl MatrixUnits {
    /// What an adapter has, if the program of attention can use it: square matrices of 8 or 16, f16 in the
    /// shader, and subgroups of one size. Vulkan only: what becomes of the program on Metal was not tried.
    pub fn of(adapter: &wgpu::Adapter) -> Option<Self> {
        let needs = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX
            | wgpu::Features::SHADER_F16
            | wgpu::Features::SUBGROUP;
        let info = adapter.get_info();
        let lanes = info.subgroup_min_size as usize;
        let fits = info.backend == wgpu::Backend::Vulkan
            && adapter.features().contains(needs)
            && info.subgroup_max_size as usize == lanes
            && matches!(lanes, 4 | 8 | 16 | 32 | 64);
        let properties = adapter.cooperative_matrix_properties();
        let serves = |tile: u32| {
            properties.iter().any(|p| {
                [p.m_size, p.n_size, p.k_size] == [tile; 3]
                    && p.ab_type == wgpu::CooperativeScalarType::F16
                    && p.cr_type == wgpu::CooperativeScalarType::F32
            })
        };
        let tile = [16, 8].into_iter().find(|tile| serves(*tile)).filter(|_| fits)?;
        Some(Self { tile: tile as usize, lanes })
    }

    /// Whether head_dim is whole matrices.
    pub fn divide(&self, head_dim: usize) -> bool {
        head_dim.is_multiple_of(self.tile)
    }

    /// Units of a size that a test asks for; no adapter needs to have them.
    pub const fn with(tile: usize, lanes: usize) -> Self {
        Self { tile, lanes }
    }
}

/// How a workgroup is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    units: MatrixUnits,
    /// Query rows.
    rows: usize,
}

impl Plan {
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

    /// Invocations that share a row's softmax.
    fn sharers(self) -> usize {
        (self.group() / self.rows).min(self.units.lanes).min(self.step())
    }

    /// Scores from one row to the next: rows that a subgroup reads at a time lie in banks of their own.
    fn score_row(self) -> usize {
        self.step() + self.sharers().clamp(4, 16)
    }

    fn scores(self) -> usize {
        (self.padded() * self.score_row()).max(TEAMS * self.units.tile * self.units.tile)
    }

    /// Vectors of a row of a tile, with 16 bytes between rows, so that matrices are read without conflicts.
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
        4 * self.padded() + 4 * self.scores() + 8 * self.halves(head_dim) + 4 * (TEAMS + 1)
    }
}

impl Program for Plan {
    fn kernel(&self) -> Kernel {
        Kernel::AttendMatrices
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn step(&self) -> usize {
        2 * self.units.tile
    }

    fn group(&self) -> usize {
        TEAMS * self.units.lanes
    }

    fn text(&self, keys: &dyn Format, values: &dyn Format, d: usize) -> Option<String> {
        let MatrixUnits { tile, lanes } = self.units;
        let (step, padded) = (self.step(), self.padded());
        let octets = step * d / 8;
        let mut text = "enable f16;\nenable wgpu_cooperative_matrix;\n".to_owned();
        text += &constants(&[
            ("GROUP", self.group()),
            ("TEAMS", TEAMS),
            ("LANES", lanes),
            ("LANE_BITS", lanes.ilog2() as usize),
            ("T", tile),
            ("CHUNK", step),
            ("CHUNK_TILES", step / tile),
            ("HEAD_TILES", d / tile),
            ("R", padded),
            ("ROWS", self.rows),
            ("ROW", Plan::row(d)),
            ("SCORE_ROW", self.score_row()),
            ("SCORES", self.scores()),
            ("WEIGHT_ROW", self.weight_row()),
            ("HALVES", self.halves(d)),
            ("OCTETS", octets.div_ceil(self.group())),
            ("LAST", octets - 1),
            ("SHARERS", self.sharers()),
            ("SHARER_BITS", self.sharers().ilog2() as usize),
            ("SHARE", step / self.sharers()),
            ("OWN", (padded / tile * (d / tile)).div_ceil(TEAMS)),
            ("HEAD_DIM", d),
        ]);
        for (name, of) in [("Left", "f16, A"), ("Right", "f16, B"), ("Sum", "f32, C")] {
            text += &format!("alias {name} = coop_mat{tile}x{tile}<{of}>;\n");
        }
        text += include_str!("../../prelude.wgsl");
        text += STRETCH;
        text += "struct Halves { low: vec4<f16>, high: vec4<f16> }\n";
        for (prefix, name, format, binding) in
            [("key", "Key", keys, 1), ("value", "Value", values, 3)]
        {
            text += &side(prefix, name, format, binding, d)?;
            text += &halves::text(prefix, name, format)?;
        }
        text += Kernel::AttendMatrices.body();
        Some(unroll(&text))
    }
}
