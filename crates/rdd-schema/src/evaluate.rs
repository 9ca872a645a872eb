//! Evaluating the CEL rules of a whole object: walking schema, value and old value side by side.

use rdd_api::FieldError;
use serde_json::Value;

use crate::node::{Additional, Node};
use crate::path::Path;
use crate::rules::Budget;
use crate::validate;

/// Evaluates all rules of a schema.
pub(crate) fn evaluate(root: &Node, object: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let budget = &mut Budget::default();
    if let Some(rules) = &root.rules {
        // The root's rules see no metadata beyond the names.
        let old = old.map(names_only);
        rules.evaluate(&names_only(object), old.as_ref(), &Path::Root, budget, errors);
    }
    below(root, object, old, &Path::Root, budget, errors);
}

fn names_only(object: &Value) -> Value {
    let Value::Object(map) = object else { return object.clone() };
    let mut map = map.clone();
    if let Some(Value::Object(metadata)) = map.get_mut("metadata") {
        metadata.retain(|key, _| key == "name" || key == "generateName");
    }
    Value::Object(map)
}

fn node(
    schema: &Node,
    value: &Value,
    old: Option<&Value>,
    path: &Path<'_>,
    budget: &mut Budget,
    errors: &mut Vec<FieldError>,
) {
    if value.is_null() {
        return;
    }
    if let Some(rules) = &schema.rules {
        rules.evaluate(value, old, path, budget, errors);
    }
    below(schema, value, old, path, budget, errors);
}

fn below(
    schema: &Node,
    value: &Value,
    old: Option<&Value>,
    path: &Path<'_>,
    budget: &mut Budget,
    errors: &mut Vec<FieldError>,
) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let found = match (schema.properties.get(key), &schema.additional) {
                    (Some(child), _) => Some((child, path.child(key))),
                    (None, Additional::Schema(child)) => Some((&**child, path.key(key))),
                    _ => None,
                };
                if let Some((child, path)) = found {
                    node(child, value, validate::old_field(schema, old, key), &path, budget, errors);
                }
            }
        }
        Value::Array(items) => {
            let Some(item_schema) = &schema.items else { return };
            for (index, item) in items.iter().enumerate() {
                node(item_schema, item, validate::old_item(schema, old, item), &path.index(index), budget, errors);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Schema;

    fn check(schema: Value, value: Value, old: Option<Value>, expect: &[&str]) {
        let schema = Schema::parse(&schema).expect("a good schema");
        let errors = schema.validate_all(&value, old.as_ref());
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), expect);
    }

    fn spec(rules: Value) -> Value {
        json!({"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-validations": rules,
            "properties": {"n": {"type": "integer"}, "name": {"type": "string"}, "x-y": {"type": "string"}}}}})
    }

    #[test]
    fn messages_and_reasons() {
        let value = json!({"spec": {"n": -1, "name": "a", "x-y": "z"}});
        check(
            spec(json!([{"rule": "self.n >= 0"}])),
            value.clone(),
            None,
            &[r#"spec: Invalid value: "object": failed rule: self.n >= 0"#],
        );
        check(
            spec(json!([{"rule": "self.n >= 0", "message": "must not be negative", "fieldPath": ".n",
                "reason": "FieldValueForbidden"}])),
            value.clone(),
            None,
            &["spec.n: Forbidden: must not be negative"],
        );
        check(
            spec(json!([{"rule": "self.n >= 0", "messageExpression": "'n is ' + string(self.n)"}])),
            value.clone(),
            None,
            &[r#"spec: Invalid value: "object": n is -1"#],
        );
        check(spec(json!([{"rule": "self.x__dash__y == 'z' && self.name.startsWith('a')"}])), value, None, &[]);
    }

    #[test]
    fn transition_rules_need_an_old_value() {
        let schema = spec(json!([{"rule": "self == oldSelf", "message": "spec is immutable"}]));
        let (one, two) = (json!({"spec": {"n": 1}}), json!({"spec": {"n": 2}}));
        check(schema.clone(), one.clone(), None, &[]);
        check(schema.clone(), one.clone(), Some(one.clone()), &[]);
        check(schema, two, Some(one), &[r#"spec: Invalid value: "object": spec is immutable"#]);
    }

    #[test]
    fn unchanged_nodes_are_forgiven() {
        let schema = spec(json!([{"rule": "self.n >= 0"}]));
        let bad = json!({"spec": {"n": -1}, "metadata": {"name": "a"}});
        check(schema, bad.clone(), Some(bad), &[]);
    }

    #[test]
    fn rules_wait_for_the_right_shape() {
        check(
            spec(json!([{"rule": "self.n >= 0"}])),
            json!({"spec": {"n": "x"}}),
            None,
            &[
                r#"spec.n: Invalid value: "string": spec.n in body must be of type integer: "string""#,
                "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; \
             correct the existing errors to complete validation",
            ],
        );
    }

    #[test]
    fn items_of_list_maps_meet_their_old_selves() {
        let schema = json!({"type": "object", "properties": {"l": {"type": "array", "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["k"], "items": {"type": "object", "required": ["k"], "properties": {
                "k": {"type": "string"},
                "v": {"type": "integer", "x-kubernetes-validations": [{"rule": "self >= oldSelf"}]}}}}}});
        let old = json!({"l": [{"k": "a", "v": 1}, {"k": "b", "v": 5}]});
        let new = json!({"l": [{"k": "b", "v": 4}, {"k": "a", "v": 2}]});
        check(schema, new, Some(old), &[r#"l[0].v: Invalid value: "integer": failed rule: self >= oldSelf"#]);
    }

    #[test]
    fn root_rules_see_names_only() {
        let schema = json!({"type": "object", "x-kubernetes-validations": [{"rule": "self.metadata.name == 'a'"}],
            "properties": {"spec": {"type": "object"}}});
        check(
            schema,
            json!({"metadata": {"name": "b", "labels": {"x": "y"}}}),
            None,
            &[r#"<nil>: Invalid value: "object": failed rule: self.metadata.name == 'a'"#],
        );
    }

    #[test]
    fn rules_that_would_run_for_long_do_not_begin() {
        let rule = "self.all(x, self.all(y, self.all(z, x + y + z >= 0)))";
        let list = |rule: &str| {
            json!({"type": "array", "items": {"type": "integer"},
            "x-kubernetes-validations": [{"rule": rule}]})
        };
        let schema = |rule: &str| json!({"type": "object", "properties": {"l": list(rule)}});
        let numbers = |count: u64| (0..count).collect::<Vec<_>>();
        check(schema(rule), json!({"l": numbers(10)}), None, &[]);
        let text = format!(
            "l: Invalid value: \"array\": no further validation rules will be run due to call cost exceeds limit for \
             rule: {rule}"
        );
        let start = std::time::Instant::now();
        check(schema(rule), json!({"l": numbers(110)}), None, &[&text]);
        check(schema(rule), json!({"l": numbers(100_000)}), None, &[&text]);
        let unchanged = json!({"l": numbers(110)});
        check(schema(rule), unchanged.clone(), Some(unchanged), &[]);
        assert!(start.elapsed() < std::time::Duration::from_secs(5), "{:?}", start.elapsed());

        // Many that are bearable are too much together, which is told once.
        let raw = list("self.all(x, self.all(y, x + y >= 0))");
        let rules = crate::rules::Rules::compile(&raw).expect("rules");
        let (mut budget, value) = (Budget::default(), json!(numbers(400)));
        let fitting = (0..100).take_while(|_| rules.spend(&value, None, &mut budget).is_ok()).count();
        assert_eq!(fitting, 3);
        let mut errors = Vec::new();
        rules.evaluate(&value, None, &Path::Root, &mut budget, &mut errors);
        assert!(errors.is_empty());
    }
}
