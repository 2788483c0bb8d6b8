//! Many cells to one file of records: resumable, and split over machines.

mod grid;
mod run;
mod shard;

pub use self::grid::{Grid, Group};
pub use self::run::{Reporter, Sweep, Swept};
pub use self::shard::Shard;
