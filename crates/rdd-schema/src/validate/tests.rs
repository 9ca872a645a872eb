//! Texts, list types and ratcheting.

use rdd_api::FieldErrorKind;
use serde_json::json;

use super::*;
use crate::Schema;

fn texts(schema: &Value, value: &Value, old: Option<&Value>) -> Vec<String> {
    Schema::trusted(schema.clone()).validate(value, old).iter().map(ToString::to_string).collect()
}

fn check(property: Value, value: Value, expect: &[&str]) {
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"n": property}}}});
    assert_eq!(texts(&schema, &json!({"spec": {"n": value}}), None), expect);
}

#[test]
fn texts_are_upstreams() {
    check(
        json!({"type": "integer"}),
        json!("a"),
        &[r#"spec.n: Invalid value: "string": spec.n in body must be of type integer: "string""#],
    );
    check(
        json!({"type": "integer"}),
        json!(1.5),
        &[r#"spec.n: Invalid value: "number": spec.n in body must be of type integer: "number""#],
    );
    check(json!({"type": "integer"}), json!(1.0), &[]);
    check(
        json!({"type": "integer", "maximum": 10.0}),
        json!(11),
        &["spec.n: Invalid value: 11: spec.n in body should be less than or equal to 10"],
    );
    check(
        json!({"type": "integer", "minimum": 1, "exclusiveMinimum": true}),
        json!(1),
        &["spec.n: Invalid value: 1: spec.n in body should be greater than 1"],
    );
    check(
        json!({"type": "integer", "multipleOf": 5}),
        json!(7),
        &["spec.n: Invalid value: 7: spec.n in body should be a multiple of 5"],
    );
    check(
        json!({"type": "string", "pattern": "^a$"}),
        json!("b"),
        &[r#"spec.n: Invalid value: "b": spec.n in body should match '^a$'"#],
    );
    check(
        json!({"type": "string", "minLength": 1}),
        json!(""),
        &[r#"spec.n: Invalid value: "": spec.n in body should be at least 1 chars long"#],
    );
    check(json!({"type": "string", "maxLength": 1}), json!("ab"), &["spec.n: Too long: may not be more than 1 bytes"]);
    check(
        json!({"type": "string", "enum": ["a", "b"]}),
        json!("c"),
        &[r#"spec.n: Unsupported value: "c": supported values: "a", "b""#],
    );
    check(
        json!({"type": "array", "items": {"type": "string"}, "maxItems": 1}),
        json!(["a", "b"]),
        &["spec.n: Too many: 2: must have at most 1 items"],
    );
    check(json!({"type": "object", "required": ["x"]}), json!({}), &["spec.n.x: Required value"]);
    check(
        json!({"type": "object"}),
        json!(null),
        &[r#"spec.n: Invalid value: "null": spec.n in body must be of type object: "null""#],
    );
    check(json!({"type": "object", "nullable": true}), json!(null), &[]);
    check(
        json!({"type": "string", "format": "date"}),
        json!("x"),
        &[r#"spec.n: Invalid value: "x": spec.n in body must be of type date: "x""#],
    );
    check(
        json!({"x-kubernetes-int-or-string": true}),
        json!(true),
        &[r#"spec.n: Invalid value: "boolean": spec.n in body must be of type integer,string: "boolean""#],
    );
}

#[test]
fn alternatives() {
    let one = json!({"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}}});
    check(one.clone(), json!({"a": "x"}), &[]);
    check(
        one.clone(),
        json!({"a": "x", "b": "y"}),
        &[
            r#"<nil>: Invalid value: "": "spec.n" must validate one and only one schema (oneOf). Found 2 valid alternatives"#,
        ],
    );
    check(
        one,
        json!({}),
        &[
            r#"<nil>: Invalid value: "": "spec.n" must validate one and only one schema (oneOf). Found none valid"#,
            "spec.n.a: Required value",
        ],
    );
    check(
        json!({"type": "integer", "anyOf": [{"minimum": 5}, {"enum": [1]}]}),
        json!(2),
        &[
            r#"<nil>: Invalid value: "": "spec.n" must validate at least one schema (anyOf)"#,
            "spec.n: Invalid value: 2: spec.n in body should be greater than or equal to 5",
        ],
    );
    check(
        json!({"type": "integer", "not": {"enum": [1]}}),
        json!(1),
        &[r#"<nil>: Invalid value: "": "spec.n" must not validate the schema (not)"#],
    );
}

#[test]
fn lists_of_their_types() {
    let set = json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}});
    check(set, json!(["a", "b", "a"]), &[r#"spec.n[2]: Duplicate value: "a""#]);
    let map = json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
        "items": {"type": "object", "properties": {"name": {"type": "string"}, "x": {"type": "string"}}}});
    check(map, json!([{"name": "a"}, {"name": "a", "x": "1"}]), &[r#"spec.n[1]: Duplicate value: {"name":"a"}"#]);
}

#[test]
fn unchanged_values_are_forgiven() {
    let schema = json!({"type": "object", "properties": {
        "n": {"type": "integer", "maximum": 10}, "m": {"type": "integer"},
        "l": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer", "maximum": 1}}}},
        "a": {"type": "array", "items": {"type": "integer", "maximum": 1}}}});
    let old = json!({"n": 11, "m": 1, "l": [{"k": "a", "v": 5}], "a": [5]});
    let same_n = json!({"n": 11, "m": 2, "l": [{"k": "b", "v": 1}, {"k": "a", "v": 5}], "a": [5, 1]});
    assert_eq!(
        texts(&schema, &same_n, Some(&old)),
        ["a[0]: Invalid value: 5: a[0] in body should be less than or equal to 1",]
    );
    let changed = json!({"n": 12, "m": 2, "l": [{"k": "a", "v": 6}], "a": [5]});
    assert_eq!(texts(&schema, &changed, Some(&old)).len(), 2);
}

#[test]
fn classes_tell_whether_rules_can_run() {
    let schema = Schema::trusted(json!({"type": "object", "required": ["spec"]}));
    let errors = schema.validate(&json!({}), None);
    assert_eq!(errors[0].kind, FieldErrorKind::Required);
    assert!(Schema::blocks_rules(&errors));
}
