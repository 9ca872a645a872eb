//! The link to a guest: the user's SSH keys, the `ssh.config` that people and other programs use, and
//! an SSH client of our own for readiness checks and the polite way to power off.
//!
//! The hostagent, the engine and the command line talk to it. It knows neither templates nor drivers,
//! and nobody outside it names the SSH library: its face changes with every release.

pub mod control_master;
pub mod keys;
pub mod reach;
pub mod session;
pub mod ssh_config;

pub use keys::{KeyError, KeyPair};
pub use session::{LinkError, Output, Session};
pub use ssh_config::SshConfig;
