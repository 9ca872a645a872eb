//! Authorization: may this user do this.
//!
//! The HTTP face asks before it routes a request. [`AllowAuthenticated`] is what an instance runs
//! with today; RBAC is to be another implementation of [`Authorizer`].

use rdd_admission::UserInfo;

/// What a request wants to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessRequest {
    /// Something with API objects.
    Resource {
        /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
        verb: String,
        /// The API group; empty for the core group.
        group: String,
        /// The version in the URL.
        version: String,
        /// The plural.
        resource: String,
        /// The subresource; empty for the object itself.
        subresource: String,
        /// The namespace; empty for cluster scope or all namespaces.
        namespace: String,
        /// The object's name, where the request tells it.
        name: String,
    },
    /// Any other path.
    Path {
        /// The HTTP method in lower case.
        verb: String,
        /// The path.
        path: String,
    },
}

/// An authorizer's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go on.
    Allow {
        /// Why, for `SelfSubjectAccessReview`; may be empty.
        reason: String,
    },
    /// Stop.
    Deny {
        /// Why, for the 403; may be empty.
        reason: String,
    },
}

/// Decides who may do what.
#[async_trait::async_trait]
pub trait Authorizer: Send + Sync + 'static {
    /// Decides one request. Must answer quickly: every request waits for it.
    async fn authorize(&self, user: &UserInfo, request: &AccessRequest) -> Decision;
}

/// Allows everything to everybody who authenticated.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAuthenticated;

#[async_trait::async_trait]
impl Authorizer for AllowAuthenticated {
    async fn authorize(&self, user: &UserInfo, _request: &AccessRequest) -> Decision {
        if user.groups.iter().any(|g| g == crate::authenticate::AUTHENTICATED) {
            Decision::Allow { reason: "everybody who authenticated is allowed everything".to_owned() }
        } else {
            Decision::Deny { reason: String::new() }
        }
    }
}
