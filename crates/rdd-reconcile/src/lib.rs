//! What controllers are written with: a keyed queue with backoff, triggers from watches, events,
//! finalizers and owned objects.
//!
//! It works over any [`Client`]: one that calls an API server in the same process without a port, or
//! one that speaks HTTPS. Controllers take the types of `kube` and `k8s-openapi` from here, so that
//! one crate decides which version of them there is. It knows no kind of ours and no VM.
//!
//! A controller implements [`Reconcile`]: a key in, nothing else. What it does it decides from what
//! it then reads, so a nudge, a timer and a restart run the same path.

pub mod controller;
pub mod events;
pub mod finalizers;
pub mod owned;
pub mod queue;
pub mod trigger;

pub use controller::{Controller, Next, Reconcile};
pub use events::{Happening, Recorder, Severity};
pub use k8s_openapi;
pub use kube;
pub use kube::api::{Api, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
pub use kube::core::{ApiResource, GroupVersionKind};
pub use kube::{Client, Error as ClientError, Resource, ResourceExt};
pub use queue::{Backoff, Queue};
pub use rdd_api::condition as conditions;
pub use tokio_util::sync::CancellationToken;
pub use trigger::{Nudge, ObjectKey};
