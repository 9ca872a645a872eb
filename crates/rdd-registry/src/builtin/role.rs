//! Roles and ClusterRoles.

use rdd_api::FieldError;
use rdd_schema::selector::LabelSelector;
use serde_json::Value;

use crate::kind::Scope;
use crate::strategy::Strategy;

pub(crate) struct RoleStrategy {
    pub(crate) scope: Scope,
}

impl Strategy for RoleStrategy {
    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        for (index, rule) in object.get("rules").and_then(Value::as_array).into_iter().flatten().enumerate() {
            check_rule(rule, self.scope, &format!("rules[{index}]"), &mut errors);
        }
        if let Some(aggregation) = object.get("aggregationRule").filter(|rule| rule.is_object()) {
            check_aggregation(aggregation, &mut errors);
        }
        errors
    }

    fn validate_update(&self, object: &Value, _old: &Value) -> Vec<FieldError> {
        self.validate_create(object)
    }
}

fn is_empty(rule: &Value, field: &str) -> bool {
    rule.get(field).and_then(Value::as_array).is_none_or(Vec::is_empty)
}

fn check_rule(rule: &Value, scope: Scope, path: &str, errors: &mut Vec<FieldError>) {
    if is_empty(rule, "verbs") {
        errors.push(FieldError::required(format!("{path}.verbs"), "verbs must contain at least one value"));
    }
    if !is_empty(rule, "nonResourceURLs") {
        let mut invalid = |detail| {
            errors.push(FieldError::invalid(format!("{path}.nonResourceURLs"), &rule["nonResourceURLs"], detail))
        };
        if scope == Scope::Namespaced {
            invalid("namespaced rules cannot apply to non-resource URLs");
        }
        if ["apiGroups", "resources", "resourceNames"].iter().any(|field| !is_empty(rule, field)) {
            invalid("rules cannot apply to both regular resources and non-resource URLs");
        }
        return;
    }
    if is_empty(rule, "apiGroups") {
        let detail = "resource rules must supply at least one api group";
        errors.push(FieldError::required(format!("{path}.apiGroups"), detail));
    }
    if is_empty(rule, "resources") {
        let detail = "resource rules must supply at least one resource";
        errors.push(FieldError::required(format!("{path}.resources"), detail));
    }
}

fn check_aggregation(aggregation: &Value, errors: &mut Vec<FieldError>) {
    let path = "aggregationRule.clusterRoleSelectors";
    if is_empty(aggregation, "clusterRoleSelectors") {
        let detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        errors.push(FieldError::required(path, detail));
    }
    let selectors = aggregation.get("clusterRoleSelectors").and_then(Value::as_array).into_iter().flatten();
    for (index, selector) in selectors.enumerate() {
        if let Err(error) = LabelSelector::from_json(selector) {
            errors.push(FieldError::invalid(format!("{path}[{index}]"), selector, &error.to_string()));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(scope: Scope, rule: Value, expect: &[&str]) {
        let errors = RoleStrategy { scope }.validate_create(&json!({"rules": [rule]}));
        let seen: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(seen, expect, "{rule}");
    }

    #[test]
    fn a_rule_is_about_resources_or_about_urls() {
        let get = json!(["get"]);
        check(Scope::Namespaced, json!({"verbs": get, "apiGroups": [""], "resources": ["secrets"]}), &[]);
        check(Scope::Cluster, json!({"verbs": get, "nonResourceURLs": ["/healthz"]}), &[]);
        check(
            Scope::Namespaced,
            json!({}),
            &[
                "rules[0].verbs: Required value: verbs must contain at least one value",
                "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
                "rules[0].resources: Required value: resource rules must supply at least one resource",
            ],
        );
        check(
            Scope::Namespaced,
            json!({"verbs": get, "nonResourceURLs": ["/x"]}),
            &["rules[0].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs"],
        );
        check(
            Scope::Cluster,
            json!({"verbs": get, "nonResourceURLs": ["/x"], "resources": ["secrets"]}),
            &["rules[0].nonResourceURLs: Invalid value: [\"/x\"]: rules cannot apply to both regular resources and \
               non-resource URLs"],
        );
    }

    #[test]
    fn an_aggregation_selects_something() {
        let strategy = RoleStrategy { scope: Scope::Cluster };
        let texts = |selectors: Value| {
            let errors = strategy.validate_create(&json!({"aggregationRule": {"clusterRoleSelectors": selectors}}));
            errors.iter().map(|error| error.field.clone()).collect::<Vec<_>>()
        };
        assert_eq!(texts(json!([])), ["aggregationRule.clusterRoleSelectors"]);
        let odd = json!([{"matchLabels": {"a": "b"}}, {"matchExpressions": [{"key": "a", "operator": "Near"}]}]);
        assert_eq!(texts(odd), ["aggregationRule.clusterRoleSelectors[1]"]);
    }
}
