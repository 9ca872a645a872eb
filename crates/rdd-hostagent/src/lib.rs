//! The process of one machine: it starts the VM or attaches to the one that runs, waits until the
//! guest is ready, reports events, answers on its socket, and shuts the VM down.
//!
//! The engine spawns it (`rdd hostagent`), reads its standard output (`ha.stdout.log`) and talks to it
//! through [`client`]. It knows no Kubernetes. It has no memory worth saving: kill it, and the next one
//! finds the VM by its driver and the boot by its token in the machine's directory.
//!
//! ```text
//!             lock, socket          VM answers              guest is ready
//!   (start) ───────────────► Begins ──────────► Boots ───────────────────► Runs
//!                              │                  │ a stop, a signal         │
//!                              │ it fails         ├──────────────────────────┤
//!                              ▼                  ▼                          ▼
//!                            (end)  ◄────────  Stops: ask, ask over SSH, quit, kill
//! ```
//!
//! From `Boots` and `Runs` two more arrows lead to the end: the VM ends by itself, or the hostagent is
//! asked to let go of it.

pub mod client;
mod durable;
mod events;
mod failure;
mod inputs;
mod orders;
pub mod protocol;
mod readiness;
mod run;
mod server;
mod stop;
mod timing;

pub use client::{Client, ClientError};
pub use failure::HostagentError;
pub use protocol::StopRequest;
pub use run::{Ending, HostagentArgs, run};
pub use stop::Rung;
pub use timing::Timing;
