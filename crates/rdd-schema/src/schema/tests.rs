//! Pruning and defaulting, as a decode does them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::Schema;

fn widget() -> Schema {
    Schema::parse(&json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "a": {"type": "string", "default": "x"},
            "n": {"type": "integer", "nullable": true, "default": 1},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                "properties": {"known": {"type": "object", "properties": {"p": {"type": "string", "default": "q"}}}}},
            "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {
                "v": {"type": "integer", "default": 7}}}},
            "list": {"type": "array", "items": {"type": "object", "properties": {"b": {"type": "boolean"}}}},
            "embedded": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {
                "spec": {"type": "object"}}},
            "inner": {"type": "object", "default": {}, "properties": {"d": {"type": "string", "default": "deep"}}},
        }},
        "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
    }}))
    .expect("structural")
}

fn check(object: Value, unknown: &[&str], expect: Value) {
    let (schema, mut object) = (widget(), object);
    assert_eq!(schema.prune(&mut object), unknown);
    schema.drop_nulls_and_default(&mut object);
    assert_eq!(object, expect);
}

#[test]
fn unknown_fields_go_and_defaults_come() {
    check(json!({"spec": {}}), &[], json!({"spec": {"a": "x", "n": 1, "inner": {"d": "deep"}}}));
    check(
        json!({"apiVersion": "g/v1", "kind": "W", "metadata": {"name": "w", "foo": 1, "labels": {"a": "b"}},
            "spec": {"a": "y", "n": 2, "inner": {"d": "e"}, "foo": 1, "list": [{"b": true, "c": 1}]}, "bar": 2}),
        &["bar", "metadata.foo", "spec.foo", "spec.list[0].c"],
        json!({"apiVersion": "g/v1", "kind": "W", "metadata": {"name": "w", "labels": {"a": "b"}},
            "spec": {"a": "y", "n": 2, "inner": {"d": "e"}, "list": [{"b": true}]}}),
    );
    check(json!({"status": {"phase": "x"}}), &[], json!({"status": {"phase": "x"}}));
}

#[test]
fn some_places_keep_what_they_do_not_know() {
    check(
        json!({"spec": {"a": "", "n": 0, "inner": {"d": ""}, "free": {"any": {"thing": 1}, "known": {"z": 1}},
            "map": {"k": {"x": 1}, "l": {}}, "embedded": {"apiVersion": "v1", "kind": "K", "metadata": {"name": "e",
            "bad": 1}, "spec": {}, "more": 1}}}),
        &["spec.embedded.metadata.bad", "spec.embedded.more", "spec.free.known.z", "spec.map.k.x"],
        json!({"spec": {"a": "", "n": 0, "inner": {"d": ""}, "free": {"any": {"thing": 1}, "known": {"p": "q"}},
            "map": {"k": {"v": 7}, "l": {"v": 7}}, "embedded": {"apiVersion": "v1", "kind": "K",
            "metadata": {"name": "e"}, "spec": {}}}}),
    );
}

#[test]
fn nulls_mean_not_set_unless_they_may_stand() {
    check(
        json!({"metadata": {"name": "w", "creationTimestamp": null}, "spec": {"a": null, "n": null, "list": null,
            "inner": null}, "status": null}),
        &[],
        json!({"metadata": {"name": "w"}, "spec": {"a": "x", "n": null, "inner": {"d": "deep"}}}),
    );
}

#[test]
fn schemas_are_shared_between_threads() {
    fn check<T: Send + Sync>() {}
    check::<Schema>();
}

fn any_object() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0i64..9).prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from)
    ];
    let key = prop::sample::select(vec![
        "spec", "a", "n", "free", "known", "map", "v", "list", "b", "embedded", "metadata", "name", "inner", "d", "x",
    ]);
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn both_are_idempotent(object in any_object()) {
        let schema = widget();
        let mut once = object;
        schema.prune(&mut once);
        let mut pruned_again = once.clone();
        prop_assert_eq!(schema.prune(&mut pruned_again), Vec::<String>::new());
        prop_assert_eq!(&pruned_again, &once);
        schema.drop_nulls_and_default(&mut once);
        let mut twice = once.clone();
        prop_assert_eq!(schema.prune(&mut twice), Vec::<String>::new());
        schema.drop_nulls_and_default(&mut twice);
        prop_assert_eq!(twice, once);
    }

    #[test]
    fn nothing_changes_an_unchanged_object(object in any_object()) {
        let schema = widget();
        prop_assert_eq!(schema.validate_all(&object, Some(&object)), Vec::new());
        let _ = schema.validate_all(&object, None);
    }
}
