//! Methods that drop tokens: a file each, named here and in `builtin.rs`.

pub mod adakv;
pub mod h2o;
pub mod knorm;
pub mod snapkv;
pub mod streaming_llm;
pub mod tova;
