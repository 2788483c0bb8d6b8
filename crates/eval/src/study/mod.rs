//! Questions that take many runs: experiments over policies, sweeps, searches, published tables.

pub mod calibration;
pub mod experiment;
pub mod reproduce;
pub mod search;
pub mod sweep;
