//! The controllers that every Kubernetes API needs, whatever its kinds.
//!
//! They work through the verbs, in process and without a port, and know no machine. Run each of them once
//! per server; [`namespace::run`] empties namespaces that are being deleted, [`gc::run`] collects objects whose owners
//! are gone. A server without them keeps what they would let go, as one without kube-controller-manager does.

pub mod gc;
pub mod namespace;
