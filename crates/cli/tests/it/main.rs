//! Tests of the whole program. They are one binary, because each that links Burn costs minutes.

mod bad_input;
mod commands;
mod gpu;
mod hub;
mod numbers;
mod policies;
mod support;
mod sweep;
mod tools;
