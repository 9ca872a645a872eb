//! The driver for QEMU: how a machine becomes a command line, and how the process that results is
//! watched and told what to do (QMP).
//!
//! The hostagent and the engine talk to it through [`rdd_machine::Driver`]. It knows no guest, no SSH
//! and no Kubernetes, and keeps nothing in memory that it could not find again: a fresh process finds
//! the VM by its control socket.
//!
//! Environment, read once by [`Settings::from_env`]: `RDD_ACCEL` (accelerator),
//! `QEMU_SYSTEM_X86_64` and its like (program and leading arguments).

pub mod accelerator;
pub mod command_line;
mod disk;
mod driver;
mod firmware;
mod output;
mod probe;
mod program;
pub mod qmp;
mod vm;

pub use driver::QemuDriver;
pub use program::Settings;
