//! Bindings: who gets the rules of which role.

use serde::{Deserialize, Deserializer};

/// A RoleBinding, or a ClusterRoleBinding. Wire format: `rbac.authorization.k8s.io/v1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RoleBinding {
    /// Who is bound.
    #[serde(deserialize_with = "subjects")]
    pub subjects: Vec<Subject>,
    /// The role.
    pub role_ref: RoleRef,
}

fn subjects<'de, D: Deserializer<'de>>(reader: D) -> Result<Vec<Subject>, D::Error> {
    Ok(Option::deserialize(reader)?.unwrap_or_default())
}

/// Who is bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Subject {
    /// `User`, `Group` or `ServiceAccount`.
    pub kind: String,
    /// The name.
    pub name: String,
    /// The namespace of a ServiceAccount; empty for that of the binding.
    pub namespace: String,
}

/// The role that a binding grants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RoleRef {
    /// `Role` or `ClusterRole`.
    pub kind: String,
    /// The name.
    pub name: String,
}

/// Returns the user name of a ServiceAccount.
pub fn service_account_user(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}
