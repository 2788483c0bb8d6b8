//! Holds a test alone: see `tests/mini.rs`.
