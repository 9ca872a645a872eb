//! Who makes a request.

use std::collections::BTreeMap;

/// An authenticated user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserInfo {
    /// The name, as in `system:admin`.
    pub name: String,
    /// A stable identifier; often empty.
    pub uid: String,
    /// The groups, as in `system:masters`.
    pub groups: Vec<String>,
    /// What the authenticator adds.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl UserInfo {
    /// The group that may do everything.
    pub const MASTERS: &str = "system:masters";
    /// The group of everybody who is authenticated.
    pub const AUTHENTICATED: &str = "system:authenticated";

    /// Makes a user that may do everything, for parts of the server itself.
    pub fn system_masters(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            groups: vec![Self::MASTERS.to_owned(), Self::AUTHENTICATED.to_owned()],
            ..Self::default()
        }
    }
}
