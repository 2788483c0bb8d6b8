//! Methods that store every token in fewer bits: a file each, named here and in `builtin.rs`.

pub mod kivi;
pub mod kvquant;
pub mod pair;
