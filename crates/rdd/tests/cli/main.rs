//! Floor 50. The program as people and scripts see it: standard output, standard error, exit code.
//!
//! Every test has a home directory of its own, and a service of its own if it needs one.
#![cfg(unix)]

mod api;
mod arguments;
mod bad_input;
mod limavm;
mod machines;
mod sealed;
mod service;
mod survival;
