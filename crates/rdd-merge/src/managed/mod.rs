//! Managed fields and server-side apply: who owns which field of an object.
//!
//! Owners stand in `metadata.managedFields`. [`update`] says who owns what after an ordinary write, [`apply`] merges a
//! configuration into an object, takes away what its manager no longer wants, and finds conflicts. The rules are those of
//! `sigs.k8s.io/structured-merge-diff`; types come from schemas ([`Type`]).

mod element;
mod entries;
mod field_set;
mod ownership;
mod types;
mod walk;

pub use ownership::{Applied, ApplyError, Conflict, Reach, Tracked, Writer, apply, update};
pub use types::Type;

#[cfg(test)]
mod tests;
