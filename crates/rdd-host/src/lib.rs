//! The operating system, as the rest of `rdd` sees it: files written whole, locks, processes,
//! signals, paths of an instance, log files, ports, and the readiness pipe.
//!
//! Everybody talks to this crate; it knows nothing of Kubernetes or of VMs. It is the only crate
//! in which `unsafe` may stand, and the place for what differs between operating systems: each
//! such part is a folder with a face (`mod.rs`) and one file per family of systems.
//!
//! No value here is global. An [`instance::Instance`] is made at the edge and handed down.

#[cfg(unix)]
mod descriptor;
pub mod environment;
pub mod files;
pub mod instance;
pub mod lock;
pub mod logs;
pub mod memory;
pub mod net;
pub mod process;
pub mod ready;
pub mod signals;
