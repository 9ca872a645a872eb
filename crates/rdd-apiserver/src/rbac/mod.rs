//! RBAC over what is stored: the policy, who may write roles, and the roles that are always there.
//!
//! The rules themselves are `rdd-auth`'s.

mod aggregation;
mod bootstrap;
mod escalation;
mod policy_cache;

pub(crate) use aggregation::run as run_aggregation;
pub(crate) use bootstrap::{Grant, reconcile};
pub(crate) use escalation::RbacEscalation;
pub(crate) use policy_cache::PolicyCache;
