//! Nobody grants what they do not have: roles and bindings are checked when they are written.
//!
//! After `k8s.io/kubernetes/pkg/registry/rbac`. Who may `escalate` a role or `bind` one is not asked further.

use std::sync::Arc;

use rdd_admission::{Admit, Attributes, Operation, Plugin, UserInfo, async_trait};
use rdd_api::{GroupResource, Status};
use rdd_auth::PolicySource;
use rdd_auth::rbac::{GROUP, PolicyRule, RoleBinding, RoleRef, confirm_no_escalation};
use rdd_auth::{AccessRequest, Authorizer, Decision};
use serde_json::Value;

/// The plugin that checks roles and bindings.
pub(crate) struct RbacEscalation {
    pub(crate) authorizer: Arc<dyn Authorizer>,
    pub(crate) policy: Arc<dyn PolicySource>,
}

#[async_trait]
impl Plugin for RbacEscalation {
    fn name(&self) -> &str {
        "RBACEscalation"
    }

    fn handles(&self, request: &Attributes) -> bool {
        request.resource.group == GROUP && matches!(request.operation, Operation::Create | Operation::Update)
    }

    async fn validate(&self, request: &Attributes, _context: &Admit) -> Result<(), Status> {
        let Some(object) = &request.object else { return Ok(()) };
        if request.user.groups.iter().any(|group| group == UserInfo::MASTERS) {
            return Ok(());
        }
        if request.old_object.as_ref().is_some_and(|old| changes_only_ownership(object, old)) {
            return Ok(());
        }
        match request.resource.resource.as_str() {
            "roles" | "clusterroles" => self.check_role(request, object).await,
            _ => self.check_binding(request, object).await,
        }
    }
}

impl RbacEscalation {
    async fn check_role(&self, request: &Attributes, object: &Value) -> Result<(), Status> {
        // As with every create, its name is not what the request is about.
        let name = if request.operation == Operation::Create { "" } else { &request.name };
        if self.may(request, "escalate", &request.resource.resource, name).await {
            return Ok(());
        }
        let rules: Vec<PolicyRule> = serde_json::from_value(object["rules"].clone()).unwrap_or_default();
        self.confirm(request, &rules)?;
        // A role that gathers others' rules may come to hold anything.
        let aggregates = |role: &Value| role.get("aggregationRule").is_some_and(|rule| !rule.is_null());
        if (aggregates(object) || request.old_object.as_ref().is_some_and(|old| aggregates(old)))
            && self.confirm(request, &PolicyRule::full_authority()).is_err()
        {
            return Err(request.forbidden("must have cluster-admin privileges to use the aggregationRule"));
        }
        Ok(())
    }

    async fn check_binding(&self, request: &Attributes, object: &Value) -> Result<(), Status> {
        let role = serde_json::from_value::<RoleBinding>(object.clone()).unwrap_or_default().role_ref;
        let resource = if role.kind == "ClusterRole" { "clusterroles" } else { "roles" };
        if self.may(request, "bind", resource, &role.name).await {
            return Ok(());
        }
        let rules = self.rules_of(request, &role)?;
        self.confirm(request, &rules)
    }

    fn rules_of(&self, request: &Attributes, role: &RoleRef) -> Result<Vec<PolicyRule>, Status> {
        let policy = self.policy.policy();
        let rules = policy.role(request.namespace.as_deref().unwrap_or_default(), role);
        rules
            .map(|rules| rules.to_vec())
            .map_err(|missing| Status::not_found(&GroupResource::new(GROUP, missing.resource), &missing.name))
    }

    async fn may(&self, request: &Attributes, verb: &str, resource: &str, name: &str) -> bool {
        let access = AccessRequest::Resource {
            verb: verb.to_owned(),
            group: GROUP.to_owned(),
            version: "*".to_owned(),
            resource: resource.to_owned(),
            subresource: String::new(),
            namespace: request.namespace.clone().unwrap_or_default(),
            name: name.to_owned(),
        };
        matches!(self.authorizer.authorize(&request.user, &access).await, Decision::Allow { .. })
    }

    fn confirm(&self, request: &Attributes, wanted: &[PolicyRule]) -> Result<(), Status> {
        let namespace = request.namespace.as_deref().unwrap_or_default();
        let (owned, missing) = self.policy.policy().rules(&request.user, namespace);
        let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
        let problem = Some(missing.join(" ")).filter(|text| !text.is_empty());
        confirm_no_escalation(&request.user, &owned, problem.as_deref(), wanted)
            .map_err(|text| request.forbidden(&text))
    }
}

/// Returns whether an update touches only what the garbage collector may: owners and finalizers.
fn changes_only_ownership(object: &Value, old: &Value) -> bool {
    let rest = |object: &Value| {
        let mut rest = object.clone();
        if let Some(metadata) = rest.get_mut("metadata").and_then(Value::as_object_mut) {
            for field in ["ownerReferences", "finalizers", "managedFields", "resourceVersion"] {
                metadata.remove(field);
            }
        }
        rest
    };
    rest(object) == rest(old)
}
