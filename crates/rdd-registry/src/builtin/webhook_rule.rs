//! What the rules of a webhook must look like.

use rdd_api::FieldError;
use serde_json::{Value, json};

/// Checks one rule.
pub(super) fn check(rule: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let operations = texts(rule, "operations");
    alone(&operations, "operations", "other operations", path, errors);
    for (index, operation) in operations.iter().enumerate() {
        let allowed = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
        if !allowed.contains(operation) {
            let path = format!("{path}.operations[{index}]");
            errors.push(FieldError::not_supported(path, &json!(operation), &allowed));
        }
    }
    alone(&texts(rule, "apiGroups"), "apiGroups", "other API groups", path, errors);
    let versions = texts(rule, "apiVersions");
    alone(&versions, "apiVersions", "other API versions", path, errors);
    filled(&versions, &format!("{path}.apiVersions"), errors);
    resources(&texts(rule, "resources"), &format!("{path}.resources"), errors);
    if let Some(scope) = rule.get("scope") {
        let allowed = ["*", "Cluster", "Namespaced"];
        if !allowed.iter().any(|text| scope == text) {
            errors.push(FieldError::not_supported(format!("{path}.scope"), scope, &allowed));
        }
    }
}

fn texts<'a>(rule: &'a Value, field: &str) -> Vec<&'a str> {
    rule.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Checks that there is something, and that `*` stands alone.
fn alone(list: &[&str], field: &str, others: &str, path: &str, errors: &mut Vec<FieldError>) {
    let path = format!("{path}.{field}");
    if list.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if list.len() > 1 && list.contains(&"*") {
        let detail = format!("if '*' is present, must not specify {others}");
        errors.push(FieldError::invalid(path, &json!(list), &detail));
    }
}

fn filled(list: &[&str], path: &str, errors: &mut Vec<FieldError>) {
    let empty = list.iter().enumerate().filter(|(_, text)| text.is_empty());
    errors.extend(empty.map(|(index, _)| FieldError::required(format!("{path}[{index}]"), "")));
}

fn resources(list: &[&str], path: &str, errors: &mut Vec<FieldError>) {
    if list.is_empty() {
        return errors.push(FieldError::required(path, ""));
    }
    filled(list, path, errors);
    for (index, resource) in list.iter().enumerate() {
        let Some((parent, sub)) = resource.split_once('/') else { continue };
        for wildcard in [format!("{parent}/*"), format!("*/{sub}")] {
            if wildcard != *resource && list[..index].contains(&wildcard.as_str()) {
                let detail = format!("if '{wildcard}' is present, must not specify {resource}");
                errors.push(FieldError::invalid(format!("{path}[{index}]"), &json!(resource), &detail));
            }
        }
    }
    if list.len() > 1 && list.contains(&"*/*") {
        let detail = "if '*/*' is present, must not specify other resources";
        errors.push(FieldError::invalid(path, &json!(list), detail));
    }
    if list.contains(&"*") && list.iter().any(|resource| *resource != "*" && !resource.contains('/')) {
        let detail = "if '*' is present, must not specify other resources without subresources";
        errors.push(FieldError::invalid(path, &json!(list), detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_rule(change: Value, expect: &[&str]) {
        let mut rule =
            json!({"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"], "scope": "*"});
        for (key, value) in change.as_object().expect("fields") {
            rule[key] = value.clone();
        }
        let mut errors = Vec::new();
        check(&rule, "rule", &mut errors);
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), expect, "{change}");
    }

    #[test]
    fn wildcards_stand_alone() {
        check_rule(json!({}), &[]);
        check_rule(json!({"resources": ["*", "*/status"]}), &[]);
        check_rule(
            json!({"operations": ["*", "CREATE"]}),
            &[
                r#"rule.operations: Invalid value: ["*","CREATE"]: if '*' is present, must not specify other operations"#,
            ],
        );
        check_rule(
            json!({"resources": ["pods/*", "pods/status"]}),
            &[
                r#"rule.resources[1]: Invalid value: "pods/status": if 'pods/*' is present, must not specify pods/status"#,
            ],
        );
        check_rule(
            json!({"resources": ["*", "pods"]}),
            &[
                r#"rule.resources: Invalid value: ["*","pods"]: if '*' is present, must not specify other resources without subresources"#,
            ],
        );
        check_rule(
            json!({"apiVersions": [], "resources": [""]}),
            &["rule.apiVersions: Required value", "rule.resources[0]: Required value"],
        );
        check_rule(
            json!({"scope": "World"}),
            &[r#"rule.scope: Unsupported value: "World": supported values: "*", "Cluster", "Namespaced""#],
        );
    }
}
