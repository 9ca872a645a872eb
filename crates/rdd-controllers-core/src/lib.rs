//! The controllers that every Kubernetes API needs, whatever its kinds.
//!
//! They work through the verbs, in process and without a port, and know no machine. [`run`] runs all of them, once per
//! server: [`namespace::run`] empties namespaces that are being deleted, [`gc::run`] collects objects whose owners are
//! gone, [`essentials::run`] gives each namespace what clients count on. A server without them keeps what they would let
//! go and lacks what they would make, as one without kube-controller-manager does.

mod all;
pub mod essentials;
pub mod gc;
pub mod namespace;

pub use all::run;
