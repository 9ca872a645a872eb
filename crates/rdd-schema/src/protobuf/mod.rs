//! The protobuf form that Go clients send, read by tables.
//!
//! A [`Message`] says which field number carries which JSON field. [`decode_body`] opens the
//! envelope (`k8s\0`), [`decode()`] reads one message; the result is the JSON that the same client
//! would have sent. The numbers are those of the published `generated.proto` files and, for the
//! kinds that kubectl sends, were checked against captured bodies (see `captured.rs`).

mod admissionregistration;
mod apiextensions;
mod authentication;
mod authorization;
mod autoscaling;
mod core;
mod decode;
mod meta;
mod rbac;
mod table;
mod wire;

pub use admissionregistration::{MUTATING_WEBHOOK_CONFIGURATION, VALIDATING_WEBHOOK_CONFIGURATION};
pub use apiextensions::CUSTOM_RESOURCE_DEFINITION;
pub use authentication::{SELF_SUBJECT_REVIEW, TOKEN_REQUEST, TOKEN_REVIEW};
pub use authorization::{
    LOCAL_SUBJECT_ACCESS_REVIEW, SELF_SUBJECT_ACCESS_REVIEW, SELF_SUBJECT_RULES_REVIEW, SUBJECT_ACCESS_REVIEW,
};
pub use autoscaling::SCALE;
pub use core::{CONFIG_MAP, EVENT, EVENTS_EVENT, LEASE, NAMESPACE, SECRET, SERVICE_ACCOUNT};
pub use decode::{Body, DecodeError, decode, decode_body, is_protobuf};
pub use meta::{DELETE_OPTIONS, LIST_META, OBJECT_META, OWNER_REFERENCE};
pub use rbac::{CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING};
pub use table::{Field, Merge, Message, Presence, Type};

#[cfg(test)]
mod captured;
