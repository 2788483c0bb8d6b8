//! Attention in f32 that keeps everything in registers: for decode, and for prompts of most heads.

use super::reader::Plan;
use super::side::in_f32;
use crate::formats::Format;

/// Invocations of a workgroup.
pub(super) const GROUP: usize = 64;

/// Tokens that an invocation decodes before it waits for its neighbours.
const TOKENS: usize = 4;

/// Vectors of four values that an invocation keeps for its rows' sums: registers bound it.
const SUMS: usize = 24;

/// Workgroup memory that every WebGPU adapter has.
const SHARED: usize = 16 << 10;

/// How the work of a workgroup is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Vectors {
    /// Query rows.
    rows: usize,
    /// Invocations that share a token.
    lanes: usize,
    /// Groups of eight channels that each of them has.
    eights: usize,
}

impl Vectors {
    /// The plan for a number of rows.
    pub(super) fn new(rows: usize, head_dim: usize) -> Self {
        let eights = head_dim.div_ceil(8);
        // Few lanes exchange fewer scores; more of them keep fewer values in registers each.
        let cut = |rows: usize| {
            [8, 4, 16, 32].map(|lanes| Self { rows, lanes, eights: eights.div_ceil(lanes) })
        };
        let plans = if rows > 4 { [cut(8), cut(4)].concat() } else { cut(4).to_vec() };
        let idle = |plan: &Self| plan.lanes * plan.eights - eights;
        let fits = |plan: &&Self| {
            plan.rows <= plan.lanes
                && plan.rows * plan.halves() <= SUMS
                && plan.fits()
                && 3 * idle(plan) <= eights
        };
        plans.iter().find(fits).copied().unwrap_or(Self {
            rows: 4,
            lanes: 32,
            eights: eights.div_ceil(32),
        })
    }

    fn clusters(self) -> usize {
        GROUP / self.lanes
    }

    /// Vectors of four channels of an invocation.
    fn halves(self) -> usize {
        2 * self.eights
    }

    /// Rows whose sums the scratch of the scores holds for all invocations, in the end.
    fn together(self) -> usize {
        (1 << (TOKENS * self.rows / 4 / self.halves()).max(1).ilog2()).min(self.rows)
    }

    /// Vectors of workgroup memory for the exchange of scores, and of sums at the end.
    fn scratch(self) -> usize {
        (TOKENS * self.rows / 4).max(self.together() * self.halves()) * GROUP
    }
}

impl Plan for Vectors {
    fn rows(&self) -> usize {
        self.rows
    }

    fn step(&self) -> usize {
        TOKENS * self.clusters()
    }

    fn group(&self) -> usize {
        GROUP
    }

    fn fits(&self) -> bool {
        let queries = self.rows * self.halves() * self.lanes;
        let weights = self.clusters() * (TOKENS + 1) * self.rows / 4;
        size_of::<[f32; 4]>() * (queries + self.scratch() + weights) <= SHARED
    }

    fn text(&self, keys: &dyn Format, values: &dyn Format, head_dim: usize) -> Option<String> {
        let sizes = [
            ("GROUP", GROUP),
            ("R", self.rows),
            ("R4", self.rows / 4),
            ("U", TOKENS),
            ("LANES", self.lanes),
            ("CLUSTERS", self.clusters()),
            ("EIGHTS", self.eights),
            ("HALVES", self.halves()),
            ("TOGETHER", self.together()),
            ("SCRATCH", self.scratch()),
        ];
        in_f32(&sizes, keys, values, head_dim, include_str!("partial.wgsl"))
    }
}
