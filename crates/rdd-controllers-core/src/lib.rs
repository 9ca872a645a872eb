//! The controllers that every Kubernetes API needs, whatever its kinds.
//!
//! They work through the verbs, in process and without a port, and know no machine. Run each of them once
//! per server; [`namespace::run`] empties namespaces that are being deleted.

pub mod namespace;
