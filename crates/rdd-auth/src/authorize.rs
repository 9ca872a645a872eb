//! Authorization: may this user do this.
//!
//! The HTTP face asks before it routes a request. [`RbacAuthorizer`](crate::RbacAuthorizer) is what a server
//! runs with; [`AllowAuthenticated`] is for embedders who need no more.

use rdd_admission::UserInfo;

use crate::access::AccessRequest;
use crate::rbac::PolicyRule;

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

    /// Returns what the user may do in a namespace, for `SelfSubjectRulesReview`.
    async fn rules(&self, user: &UserInfo, namespace: &str) -> Rules {
        let _ = (user, namespace);
        Rules { rules: Vec::new(), problem: Some("the authorizer cannot list rules".to_owned()) }
    }
}

/// What a user may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The rules, as roles hold them.
    pub rules: Vec<PolicyRule>,
    /// Why rules may be missing, if they may.
    pub problem: Option<String>,
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

    async fn rules(&self, user: &UserInfo, _namespace: &str) -> Rules {
        let known = user.groups.iter().any(|g| g == crate::authenticate::AUTHENTICATED);
        Rules { rules: if known { PolicyRule::full_authority() } else { Vec::new() }, problem: None }
    }
}
