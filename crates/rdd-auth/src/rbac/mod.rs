//! RBAC, as a function of its inputs: which rules a user has, and whether they allow a request or cover other rules.
//!
//! [`Policy`] is made of all roles and bindings of one moment; who keeps it up to date is not known here. After
//! `k8s.io/kubernetes/pkg/registry/rbac/validation` and `k8s.io/component-helpers/auth/rbac/validation`.

mod binding;
mod coverage;
mod policy;
mod policy_rule;

pub use binding::{RoleBinding, RoleRef, Subject, service_account_user};
pub use coverage::{confirm_no_escalation, uncovered};
pub use policy::{Policy, RoleNotFound};
pub use policy_rule::PolicyRule;

/// The API group of roles and bindings.
pub const GROUP: &str = "rbac.authorization.k8s.io";
