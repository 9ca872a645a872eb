//! lima.yaml: from the text that a person wrote to a machine's configuration on this host.
//!
//! [`parse()`] reads the text, [`Template::validate`] says everything that is wrong with it, and
//! [`Template::resolve`] fills in the defaults and gives a [`rdd_machine::MachineConfig`]. Admission,
//! the engine and the hostagent talk to it. It must not know drivers (their names are handed in),
//! instances that run, or Kubernetes.
//!
//! Unknown keys are warnings, as in Lima. What the original accepts and then cannot start is refused
//! here, with the field and the reason.

mod document;
mod forward;
mod host;
mod param;
mod parse;
mod problem;
mod provision;
mod reader;
mod render;
mod resolve;
mod user;

pub use host::{HostFacts, HostOs};
pub use parse::{Template, TemplateError, parse};
pub use problem::{FieldProblem, ValidationErrors};

/// The version of Lima whose templates are understood; `minimumLimaVersion` must not be above it.
pub const LIMA_VERSION: &str = "2.1.2";

#[cfg(test)]
mod tests;
