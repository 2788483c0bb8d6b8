//! Methods that drop tokens.

mod adakv;
mod h2o;
mod knorm;
mod snapkv;
mod streaming_llm;
mod tova;

pub use adakv::AdaKv;
pub use h2o::H2o;
pub use knorm::Knorm;
pub use snapkv::SnapKv;
pub use streaming_llm::StreamingLlm;
pub use tova::Tova;
