//! The engine's own words: machine names, a machine's resolved configuration, the events a
//! hostagent reports, and what a driver must be able to do.
//!
//! A *machine* is one VM. This crate is pure: it knows no file, no process and no Kubernetes.

pub mod config;
pub mod driver;
pub mod event;
pub mod name;
pub mod network;
pub mod size;

pub use config::MachineConfig;
pub use driver::{Driver, DriverError, Vm};
pub use event::{HostagentEvent, HostagentStatus};
pub use name::{MachineName, NameError};
