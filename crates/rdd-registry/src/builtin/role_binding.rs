//! RoleBindings and ClusterRoleBindings.

use jiff::Timestamp;
use rdd_api::FieldError;
use rdd_schema::validation::{dns1123_subdomain, path_segment};
use serde_json::{Value, json};

use crate::kind::Scope;
use crate::strategy::Strategy;

const GROUP: &str = "rbac.authorization.k8s.io";

pub(crate) struct RoleBindingStrategy {
    pub(crate) scope: Scope,
}

impl Strategy for RoleBindingStrategy {
    fn prepare_create(&self, object: &mut Value, _now: Timestamp) {
        fill_groups(object);
    }

    fn prepare_update(&self, object: &mut Value, _old: &Value, _now: Timestamp) {
        fill_groups(object);
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        check_role(&object["roleRef"], self.scope, &mut errors);
        for (index, subject) in object.get("subjects").and_then(Value::as_array).into_iter().flatten().enumerate() {
            check_subject(subject, self.scope, &format!("subjects[{index}]"), &mut errors);
        }
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.validate_create(object);
        // What a binding grants may not change under those who were allowed to make it.
        if object.get("roleRef") != old.get("roleRef") {
            errors.push(FieldError::invalid("roleRef", &object["roleRef"], "cannot change roleRef"));
        }
        errors
    }
}

/// Fills in the API groups that upstream defaults.
fn fill_groups(object: &mut Value) {
    fill_group(object.get_mut("roleRef"));
    for subject in object.get_mut("subjects").and_then(Value::as_array_mut).into_iter().flatten() {
        if matches!(text(subject, "kind"), "User" | "Group") {
            fill_group(Some(subject));
        }
    }
}

fn fill_group(part: Option<&mut Value>) {
    if let Some(fields) = part.and_then(Value::as_object_mut)
        && fields.get("apiGroup").and_then(Value::as_str).unwrap_or_default().is_empty()
    {
        fields.insert("apiGroup".to_owned(), json!(GROUP));
    }
}

fn text<'a>(part: &'a Value, field: &str) -> &'a str {
    part.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn check_role(role: &Value, scope: Scope, errors: &mut Vec<FieldError>) {
    let group = text(role, "apiGroup");
    if group != GROUP {
        errors.push(FieldError::not_supported("roleRef.apiGroup", &json!(group), &[GROUP]));
    }
    let kinds = match scope {
        Scope::Namespaced => ["Role", "ClusterRole"].as_slice(),
        Scope::Cluster => &["ClusterRole"],
    };
    let kind = text(role, "kind");
    if !kinds.contains(&kind) {
        errors.push(FieldError::not_supported("roleRef.kind", &json!(kind), kinds));
    }
    let name = text(role, "name");
    if name.is_empty() {
        errors.push(FieldError::required("roleRef.name", ""));
    }
    for problem in path_segment(name) {
        errors.push(FieldError::invalid("roleRef.name", &json!(name), &problem));
    }
}

fn check_subject(subject: &Value, scope: Scope, path: &str, errors: &mut Vec<FieldError>) {
    let (name, group) = (text(subject, "name"), text(subject, "apiGroup"));
    if name.is_empty() {
        errors.push(FieldError::required(format!("{path}.name"), ""));
    }
    let mut only_group = |wanted: &str| {
        if group != wanted {
            errors.push(FieldError::not_supported(format!("{path}.apiGroup"), &json!(group), &[wanted]));
        }
    };
    match text(subject, "kind") {
        "ServiceAccount" => {
            only_group("");
            if !name.is_empty() {
                for problem in dns1123_subdomain(name) {
                    errors.push(FieldError::invalid(format!("{path}.name"), &json!(name), &problem));
                }
            }
            if scope == Scope::Cluster && text(subject, "namespace").is_empty() {
                errors.push(FieldError::required(format!("{path}.namespace"), ""));
            }
        }
        "User" | "Group" => only_group(GROUP),
        other => {
            let kinds = ["ServiceAccount", "User", "Group"];
            errors.push(FieldError::not_supported(format!("{path}.kind"), &json!(other), &kinds));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(kind: &str, subject: Value) -> Value {
        json!({"roleRef": {"kind": kind, "name": "r"}, "subjects": [subject]})
    }

    fn check(scope: Scope, mut binding: Value, expect: &[&str]) {
        let strategy = RoleBindingStrategy { scope };
        strategy.prepare_create(&mut binding, Timestamp::UNIX_EPOCH);
        let errors = strategy.validate_create(&binding);
        let seen: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(seen, expect, "{binding}");
    }

    #[test]
    fn subjects_and_roles_are_checked() {
        use Scope::{Cluster, Namespaced};
        check(Namespaced, binding("Role", json!({"kind": "User", "name": "ann"})), &[]);
        check(Namespaced, binding("ClusterRole", json!({"kind": "ServiceAccount", "name": "sa"})), &[]);
        check(
            Cluster,
            binding("Role", json!({"kind": "ServiceAccount", "name": "sa"})),
            &[
                "roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\"",
                "subjects[0].namespace: Required value",
            ],
        );
        check(
            Namespaced,
            binding("Role", json!({"kind": "Robot", "name": ""})),
            &[
                "subjects[0].name: Required value",
                "subjects[0].kind: Unsupported value: \"Robot\": supported values: \"ServiceAccount\", \"User\", \
                 \"Group\"",
            ],
        );
        check(
            Namespaced,
            binding("Role", json!({"kind": "User", "name": "ann", "apiGroup": "x"})),
            &["subjects[0].apiGroup: Unsupported value: \"x\": supported values: \"rbac.authorization.k8s.io\""],
        );
        check(
            Namespaced,
            json!({}),
            &[
                "roleRef.apiGroup: Unsupported value: \"\": supported values: \"rbac.authorization.k8s.io\"",
                "roleRef.kind: Unsupported value: \"\": supported values: \"Role\", \"ClusterRole\"",
                "roleRef.name: Required value",
            ],
        );
    }

    #[test]
    fn the_role_of_a_binding_stays() {
        let strategy = RoleBindingStrategy { scope: Scope::Namespaced };
        let role = |name: &str| json!({"roleRef": {"apiGroup": GROUP, "kind": "Role", "name": name}});
        assert_eq!(strategy.validate_update(&role("a"), &role("a")), []);
        let errors = strategy.validate_update(&role("b"), &role("a"));
        assert!(errors[0].to_string().ends_with(": cannot change roleRef"), "{errors:?}");
    }
}
