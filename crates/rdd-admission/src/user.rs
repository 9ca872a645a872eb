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
    /// The server itself, where it makes what must be there before it can be asked anything. Nothing outside the process
    /// is asked about that: else what cannot be reached would keep the server from starting, and nobody could mend it.
    pub const API_SERVER: &str = "system:apiserver";
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
