//! Bytes of a cache, counted over the buffers that are alive.

use std::iter::Sum;
use std::ops::Add;

/// Bytes of live buffers, by what they hold. Unit: bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Packed codes of the tokens held.
    pub codes: u64,
    /// Scales and minima of the tokens held.
    pub scales: u64,
    /// Keys and values kept in full precision (windows, residuals).
    pub full_precision: u64,
    /// Everything else a policy keeps: positions, scores, codebooks.
    pub bookkeeping: u64,
    /// Bytes of all the buffers alive, room for tokens to come included.
    pub allocated: u64,
}

impl Footprint {
    /// Bytes that tokens held occupy: what the policy needs, whatever it allocated.
    pub fn held(&self) -> u64 {
        self.codes + self.scales + self.full_precision + self.bookkeeping
    }
}

impl Add for Footprint {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            codes: self.codes + other.codes,
            scales: self.scales + other.scales,
            full_precision: self.full_precision + other.full_precision,
            bookkeeping: self.bookkeeping + other.bookkeeping,
            allocated: self.allocated + other.allocated,
        }
    }
}

impl Sum for Footprint {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), Add::add)
    }
}
