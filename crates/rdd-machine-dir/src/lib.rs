//! The directory of a machine: where its files lie, how it comes to be whole, how it goes, and what
//! it tells about the machine.
//!
//! While a hostagent runs it is the only writer; else the engine is. Everybody may read. The layout
//! is Lima's (VM engine specification §3.7), with three files of our own: `ha.lock` and
//! `driver.lock`, which are held for the life of the hostagent and of the VM, and `boot-id`.
//!
//! This crate knows no hypervisor, starts no process and signals none.

pub mod create;
pub mod inspect;
pub mod layout;
pub mod list;
pub mod logs;
pub mod remove;
pub mod text;

pub use create::{CreateError, create_whole};
pub use inspect::{Inspection, Standing, inspect};
pub use layout::{MachineDir, PathTooLong};
pub use list::{list, sweep};
pub use logs::LogPolicy;
pub use remove::{RemoveError, discard, remove};
