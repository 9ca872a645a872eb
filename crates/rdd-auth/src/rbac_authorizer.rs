//! The authorizer that a server runs with: RBAC, over whatever keeps the policy.

use std::sync::Arc;

use rdd_admission::UserInfo;

use crate::access::AccessRequest;
use crate::authorize::{Authorizer, Decision, Rules};
use crate::rbac::{Policy, PolicyRule, RoleNotFound};

/// Keeps the policy.
pub trait PolicySource: Send + Sync + 'static {
    /// Returns the policy of this moment: every write that was answered before the call counts.
    fn policy(&self) -> Arc<Policy>;
}

/// Decides by roles and bindings. Members of `system:masters` may do everything, whatever those say.
pub struct RbacAuthorizer {
    source: Arc<dyn PolicySource>,
}

impl RbacAuthorizer {
    /// Makes an authorizer over a policy that may change.
    pub fn new(source: Arc<dyn PolicySource>) -> Self {
        Self { source }
    }
}

fn is_master(user: &UserInfo) -> bool {
    user.groups.iter().any(|group| group == UserInfo::MASTERS)
}

fn problem(missing: &[RoleNotFound]) -> Option<String> {
    let texts: Vec<String> = missing.iter().map(ToString::to_string).collect();
    match texts.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}

#[async_trait::async_trait]
impl Authorizer for RbacAuthorizer {
    async fn authorize(&self, user: &UserInfo, request: &AccessRequest) -> Decision {
        if is_master(user) {
            return Decision::Allow { reason: String::new() };
        }
        match self.source.policy().allows(user, request) {
            Ok(source) => Decision::Allow { reason: format!("RBAC: allowed by {source}") },
            Err(missing) => {
                let reason = problem(&missing).map(|text| format!("RBAC: {text}")).unwrap_or_default();
                Decision::Deny { reason }
            }
        }
    }

    async fn rules(&self, user: &UserInfo, namespace: &str) -> Rules {
        let (mut rules, missing) = self.source.policy().rules(user, namespace);
        if is_master(user) {
            rules.extend(
                PolicyRule::full_authority().into_iter().filter(|rule| !rules.contains(rule)).collect::<Vec<_>>(),
            );
        }
        Rules { rules, problem: problem(&missing) }
    }
}
