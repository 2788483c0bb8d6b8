//! Methods that mix precisions and eviction: a file each, named here and in `builtin.rs`.

pub mod adaptive;
