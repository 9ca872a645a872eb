//! Admission: who may stop or change a write before it is stored, in process.
//!
//! `rdd-verbs` runs the [`Chain`] for every write; controllers' crates bring plugins. A plugin sees
//! the request as [`Attributes`], reads committed objects through a [`Reader`] and, where it must,
//! makes other objects through a [`Writer`]. Nothing here knows the store, HTTP or a particular
//! kind, but for namespaces.
//!
//! ```
//! use rdd_admission::{Admit, Attributes, Operation, Plugin};
//! use rdd_api::Status;
//!
//! struct NoFoo;
//!
//! #[async_trait::async_trait]
//! impl Plugin for NoFoo {
//!     fn name(&self) -> &str {
//!         "no-foo"
//!     }
//!     fn handles(&self, request: &Attributes) -> bool {
//!         request.operation == Operation::Create && request.resource.resource == "configmaps"
//!     }
//!     async fn validate(&self, request: &Attributes, _context: &Admit) -> Result<(), Status> {
//!         if request.name == "foo" { Err(request.forbidden("no foo, please")) } else { Ok(()) }
//!     }
//! }
//! ```

mod attributes;
mod chain;
mod in_flight;
mod namespace_lifecycle;
mod plugin;
mod user;

pub use attributes::{Attributes, Operation, Undo};
pub use chain::Chain;
pub use in_flight::{Begun, InFlight};
pub use namespace_lifecycle::{NamespaceLifecycle, PROTECTED_NAMESPACES};
pub use plugin::{Admit, Plugin, Reader, Writer};
pub use user::UserInfo;

// Re-exported so that a plugin needs no dependency of its own for the attribute.
pub use async_trait::async_trait;
