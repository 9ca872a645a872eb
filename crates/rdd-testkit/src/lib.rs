//! What tests of the whole program share: a sealed home, the built program, the guests, and waiting
//! for a level instead of sleeping.
//!
//! It knows files and programs only; tests of single crates do not need it.

mod guest;
mod home;
mod wait;

pub use guest::{guest, lima_yaml};
pub use home::{Home, Output};
pub use wait::wait_until;
