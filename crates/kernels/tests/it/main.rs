//! Tests of storage formats and shaders against what other programs computed.

mod formats;
mod shaders;
mod support;
