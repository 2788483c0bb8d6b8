//! Time and memory, measured: tokens per second, attention alone, bytes of live buffers.

pub mod attention;
pub mod capacity;
pub mod memory;
pub mod speed;
