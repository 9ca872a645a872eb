//! The engine: wanted state in, seen state out, one actor per machine.
//!
//! [`Engine::machine`] gives a [`Machine`], by which the caller says what is [`Wanted`] and reads
//! what is [`Seen`]. Behind it an actor, a task of its own, creates the machine's directory, fetches
//! its image, starts, watches, restarts, stops and removes it; so nothing slow on one machine holds
//! up another. The VM itself belongs to a hostagent process, which the actor starts and which
//! outlives us; after a restart of ours the actor takes over what runs.
//!
//! The engine knows no Kubernetes. It does nothing to a machine for which nothing is wanted.

mod actor;
mod config;
mod crashes;
mod engine;
mod exist;
mod hostagent;
mod images;
mod link;
mod machine;
mod seen;
mod start;
mod stop;
mod template;
mod wanted;

pub use config::{EngineConfig, Timing};
pub use engine::{Engine, EngineError};
pub use images::{CachedImages, Images, PrepareError};
pub use machine::{Machine, WriteTemplateError};
pub use seen::{Phase, Rung, Seen};
pub use template::{TemplateProblem, Templates};
pub use wanted::Wanted;
