//! What is refused, and in which words.

use serde_json::json;

use crate::Schema;

fn check(schema: serde_json::Value, expect: &[&str]) {
    let errors = Schema::parse(&schema).err().unwrap_or_default();
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(texts, expect, "{schema}");
}

#[test]
fn a_schema_must_be_structural() {
    check(json!({"type": "object"}), &[]);
    check(json!({}), &["type: Required value: must not be empty at the root"]);
    check(json!({"type": "string"}), &[r#"type: Invalid value: "string": must be object at the root"#]);
    check(
        json!({"type": "object", "properties": {"spec": {"properties": {}}}}),
        &["properties[spec].type: Required value: must not be empty for specified object fields"],
    );
    check(
        json!({"type": "object", "properties": {"l": {"type": "array"}}}),
        &["properties[l].items: Required value: must be specified"],
    );
    check(
        json!({"type": "object", "properties": {"m": {"type": "object", "properties": {"a": {"type": "string"}},
            "additionalProperties": {"type": "string"}}}}),
        &["properties[m].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"],
    );
    check(
        json!({"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}}),
        &[
            r#"properties[a].pattern: Invalid value: "(": must be a valid regular expression, but isn't: unclosed group"#,
        ],
    );
}

#[test]
fn nested_validations_may_only_validate() {
    check(
        json!({"type": "object", "properties": {"a": {"type": "integer"}},
            "allOf": [{"properties": {"a": {"type": "integer", "minimum": 1}, "b": {"minimum": 1}}}]}),
        &[
            "allOf[0].properties[a].type: Forbidden: must be empty to be structural",
            "properties[b]: Required value: because it is defined in allOf[0].properties[b]",
        ],
    );
    check(
        json!({"type": "object", "properties": {"p": {"x-kubernetes-int-or-string": true,
            "anyOf": [{"type": "integer"}, {"type": "string"}]}}}),
        &[],
    );
    check(
        json!({"type": "object", "properties": {"p": {"x-kubernetes-int-or-string": true,
            "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"pattern": "a"}]}}}),
        &[],
    );
}

#[test]
fn lists_and_metadata() {
    check(
        json!({"type": "object", "properties": {"l": {"type": "array", "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "properties": {"name": {"type": "string"}}}}}}),
        &["properties[l].items.properties[name].default: Required value: this property is in \
           x-kubernetes-list-map-keys, so it must have a default or be a required property"],
    );
    check(
        json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {
            "labels": {"type": "object"}}}}}),
        &["properties[metadata]: Forbidden: must not specify anything other than name and generateName, but \
           metadata is implicitly specified"],
    );
    check(
        json!({"type": "object", "properties": {"a": {"type": "integer", "default": "x"}}}),
        &[r#"properties[a].default: Invalid value: "string": default in body must be of type integer: "string""#],
    );
}

#[test]
fn our_own_definition_is_structural() {
    let text = include_str!("../../../rdd-api/src/limavm.crd.yaml");
    let definition = crate::yaml::parse(text).expect("valid YAML");
    let schema = definition.pointer("/spec/versions/0/schema/openAPIV3Schema").expect("a schema");
    check(schema.clone(), &[]);
}
