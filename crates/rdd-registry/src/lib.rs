//! The table of kinds that a server serves: the built-in ones, and those that CustomResourceDefinitions
//! add while it runs.
//!
//! `rdd-verbs` looks up how to treat an object, `rdd-apiserver` what to route, to tell in discovery and
//! OpenAPI, and to print in tables. A [`Kind`] is data with a [`Strategy`] for what data cannot say. The
//! registry knows no store and no request.
//!
//! [`Kinds`] is an immutable snapshot: take it once per request, so that one answer has one view.

pub mod builtin;
mod column;
mod conditions;
pub mod crd;
mod kind;
mod registry;
mod scale;
mod strategy;
mod version_order;

pub use column::{Cell, Column, human_duration};
pub use conditions::set_condition;
pub use kind::{Custom, Kind, Manners, Scope, SelectableField, Storage, Version, full_verbs};
pub use registry::{Group, Kinds, Registry};
pub use scale::{Scale, ScaleError, wanted_replicas};
pub use strategy::{PlainStrategy, Strategy};
pub use version_order::compare_versions;
