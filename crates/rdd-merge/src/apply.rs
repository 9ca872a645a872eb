//! The patches that `kubectl apply` sends: made from what was applied last, what is wanted, and
//! what is.
//!
//! Deletions come from what was applied last and is not wanted any more; changes and additions
//! from what is wanted and is not so. What others added is left alone.
//!
//! For lists that merge, `$setElementOrder` and `$deleteFromPrimitiveList` are emitted as kubectl
//! does, and `$patch: delete` for single items. `$retainKeys` is emitted for fields with that
//! strategy. Result against our server and upstream's: the same object as kubectl's patch gives.

use serde_json::{Map, Value, json};

use crate::error::PatchError;
use crate::keys::{ListStrategy, MergeKeys};
use crate::merge_patch::merge_patch;
use crate::strategic::{DELETE_FROM, ORDER, PATCH, RETAIN_KEYS};

/// The annotation in which client-side apply keeps what it applied.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What a patch must not change: `apiVersion`, `kind`, `metadata.name`, as for `kubectl apply`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Precondition {
    path: &'static [&'static str],
}

impl Precondition {
    /// The three of `kubectl apply`.
    pub const APPLY: [Precondition; 3] =
        [Self { path: &["apiVersion"] }, Self { path: &["kind"] }, Self { path: &["metadata", "name"] }];

    /// Checks a patch.
    pub fn holds(&self, patch: &Value) -> bool {
        let mut at = Some(patch);
        for step in self.path {
            at = at.and_then(|v| v.get(step));
        }
        at.is_none()
    }
}

/// Makes the JSON merge patch that client-side apply sends for a custom resource.
pub fn three_way_json_merge(last_applied: Option<&Value>, modified: &Value, live: &Value) -> Result<Value, PatchError> {
    let mut patch = keep_additions(&two_way_merge(live, modified));
    if let Some(last_applied) = last_applied {
        let deletions = keep_deletions(&two_way_merge(last_applied, modified));
        // Merging into a patch must keep nulls, which merging into an object would eat.
        overlay(&mut patch, &deletions);
    }
    check(&patch)?;
    Ok(patch)
}

fn check(patch: &Value) -> Result<(), PatchError> {
    if Precondition::APPLY.iter().all(|p| p.holds(patch)) {
        return Ok(());
    }
    let text = "precondition failed for: at least one of apiVersion, kind and name was changed".to_owned();
    Err(PatchError::Unprocessable(text))
}

/// Makes the JSON merge patch from one state to another.
pub fn two_way_merge(original: &Value, modified: &Value) -> Value {
    let (Value::Object(original), Value::Object(modified)) = (original, modified) else { return modified.clone() };
    let mut patch = Map::new();
    for key in original.keys().filter(|k| !modified.contains_key(*k)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in modified {
        match original.get(key) {
            Some(before) if before == value => {}
            Some(before @ Value::Object(_)) if value.is_object() => {
                patch.insert(key.clone(), two_way_merge(before, value));
            }
            _ => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(patch)
}

/// Drops the nulls of a patch: its deletions.
fn keep_additions(patch: &Value) -> Value {
    match patch {
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), keep_additions(v)));
            // A map that only deleted is no change; an empty map that was wanted is.
            let is_change = |(k, v): &(String, Value)| {
                !v.as_object().is_some_and(Map::is_empty) || map[k].as_object().is_some_and(Map::is_empty)
            };
            Value::Object(kept.filter(is_change).collect())
        }
        other => other.clone(),
    }
}

/// Keeps only the nulls of a patch.
fn keep_deletions(patch: &Value) -> Value {
    let Value::Object(map) = patch else { return Value::Object(Map::new()) };
    let mut kept = Map::new();
    for (key, value) in map {
        match value {
            Value::Null => {
                kept.insert(key.clone(), Value::Null);
            }
            Value::Object(_) => {
                let below = keep_deletions(value);
                if below.as_object().is_some_and(|b| !b.is_empty()) {
                    kept.insert(key.clone(), below);
                }
            }
            _ => {}
        }
    }
    Value::Object(kept)
}

/// Lays one patch over another, nulls included.
fn overlay(patch: &mut Value, over: &Value) {
    match (patch, over) {
        (Value::Object(patch), Value::Object(over)) => {
            for (key, value) in over {
                overlay(patch.entry(key.as_str()).or_insert_with(|| json!({})), value);
            }
        }
        (patch, over) => *patch = over.clone(),
    }
}

/// Makes the strategic merge patch that client-side apply sends for a built-in kind.
pub fn three_way_strategic(
    last_applied: Option<&Value>,
    modified: &Value,
    live: &Value,
    schema: &dyn MergeKeys,
) -> Result<Value, PatchError> {
    let empty = Value::Object(Map::new());
    let base = last_applied.unwrap_or(&empty);
    let patch = Diff::patch(base, modified, live, schema)?;
    check(&patch)?;
    Ok(patch)
}

/// Makes the strategic merge patch from one state to another.
pub fn two_way_strategic(original: &Value, modified: &Value, schema: &dyn MergeKeys) -> Result<Value, PatchError> {
    Diff::patch(original, modified, original, schema)
}

/// Returns whether a patch changes nothing. Orders alone change nothing that is worth a request.
pub fn is_empty_patch(patch: &Value) -> bool {
    match patch {
        Value::Object(map) => map.iter().all(|(k, v)| k.starts_with(ORDER) || v.is_object() && is_empty_patch(v)),
        _ => false,
    }
}

/// Applies a merge patch to a copy.
pub fn merged(target: &Value, patch: &Value) -> Value {
    let mut result = target.clone();
    merge_patch(&mut result, patch);
    result
}

/// The walk over the three states.
struct Diff;

impl Diff {
    fn patch(base: &Value, modified: &Value, live: &Value, schema: &dyn MergeKeys) -> Result<Value, PatchError> {
        match (base, modified, live) {
            (Value::Object(base), Value::Object(modified), Value::Object(live)) => {
                Ok(Value::Object(Self::maps(base, modified, live, schema)?))
            }
            _ => Err(PatchError::Malformed("invalid JSON document".into())),
        }
    }

    fn maps(
        base: &Map<String, Value>,
        modified: &Map<String, Value>,
        live: &Map<String, Value>,
        schema: &dyn MergeKeys,
    ) -> Result<Map<String, Value>, PatchError> {
        let mut patch = Map::new();
        // What was applied and is not wanted any more goes. If it is gone already, deleting it again does no harm,
        // but makes a request for nothing.
        for key in base.keys().filter(|k| !modified.contains_key(*k) && live.contains_key(*k)) {
            patch.insert(key.clone(), Value::Null);
        }
        let empty_map = Map::new();
        for (key, wanted) in modified {
            if wanted.is_null() {
                if live.get(key).is_some_and(|l| !l.is_null()) {
                    patch.insert(key.clone(), Value::Null);
                }
                continue;
            }
            match (wanted, live.get(key)) {
                (Value::Object(wanted), Some(Value::Object(current))) => {
                    let before = base.get(key).and_then(Value::as_object).unwrap_or(&empty_map);
                    let mut below = Self::maps(before, wanted, current, &*schema.below(key))?;
                    if schema.retains_keys(key) && !below.is_empty() {
                        below.insert(RETAIN_KEYS.into(), wanted.keys().cloned().collect());
                    }
                    if !below.is_empty() {
                        patch.insert(key.clone(), Value::Object(below));
                    }
                }
                (Value::Array(wanted), Some(Value::Array(current))) => {
                    let empty = Vec::new();
                    let before = base.get(key).and_then(Value::as_array).unwrap_or(&empty);
                    Self::lists(before, wanted, current, key, schema, &mut patch)?;
                }
                (wanted, Some(current)) if wanted == current => {}
                (wanted, _) => {
                    patch.insert(key.clone(), wanted.clone());
                }
            }
        }
        Ok(patch)
    }

    fn lists(
        base: &[Value],
        wanted: &[Value],
        live: &[Value],
        field: &str,
        schema: &dyn MergeKeys,
        patch: &mut Map<String, Value>,
    ) -> Result<(), PatchError> {
        match schema.list(field) {
            ListStrategy::Atomic => {
                if wanted != live {
                    patch.insert(field.to_owned(), Value::Array(wanted.to_vec()));
                }
            }
            ListStrategy::AsSet => {
                let added: Vec<Value> = wanted.iter().filter(|w| !live.contains(w)).cloned().collect();
                let removed: Vec<Value> =
                    base.iter().filter(|b| !wanted.contains(b) && live.contains(b)).cloned().collect();
                let is_changed = !added.is_empty() || !removed.is_empty() || !in_order(wanted, live);
                if is_changed && !wanted.is_empty() {
                    patch.insert(format!("{ORDER}/{field}"), Value::Array(wanted.to_vec()));
                }
                if !added.is_empty() {
                    patch.insert(field.to_owned(), Value::Array(added));
                }
                if !removed.is_empty() {
                    patch.insert(format!("{DELETE_FROM}/{field}"), Value::Array(removed));
                }
            }
            ListStrategy::ByKey(key) => {
                let items = Self::keyed(base, wanted, live, field, &key, schema)?;
                let identities =
                    |list: &[Value]| -> Vec<Value> { list.iter().filter_map(|i| i.get(&key)).cloned().collect() };
                let is_changed = !items.is_empty() || !in_order(&identities(wanted), &identities(live));
                if is_changed && !wanted.is_empty() {
                    let order = identities(wanted).into_iter().map(|id| json!({ key.as_str(): id })).collect();
                    patch.insert(format!("{ORDER}/{field}"), Value::Array(order));
                }
                if !items.is_empty() {
                    patch.insert(field.to_owned(), Value::Array(items));
                }
            }
        }
        Ok(())
    }

    fn keyed(
        base: &[Value],
        wanted: &[Value],
        live: &[Value],
        field: &str,
        key: &str,
        schema: &dyn MergeKeys,
    ) -> Result<Vec<Value>, PatchError> {
        let below = schema.below(field);
        let empty = Map::new();
        let find = |list: &[Value], id: &Value| list.iter().find(|i| i.get(key) == Some(id)).cloned();
        let mut items = Vec::new();
        for item in wanted {
            let Some((map, id)) = item.as_object().and_then(|m| Some((m, m.get(key)?))) else {
                let text = format!("map: {item} does not contain declared merge key: {key}");
                return Err(PatchError::MissingMergeKey(text));
            };
            match find(live, id) {
                Some(Value::Object(current)) => {
                    let before = find(base, id);
                    let before = before.as_ref().and_then(Value::as_object).unwrap_or(&empty);
                    let mut changes = Self::maps(before, map, &current, &*below)?;
                    if !changes.is_empty() {
                        changes.insert(key.to_owned(), id.clone());
                        items.push(Value::Object(changes));
                    }
                }
                _ => items.push(item.clone()),
            }
        }
        for item in base {
            let Some(id) = item.get(key) else { continue };
            if find(wanted, id).is_none() && find(live, id).is_some() {
                items.push(json!({PATCH: "delete", key: id}));
            }
        }
        Ok(items)
    }
}

/// Returns whether the wanted items stand in `live` in this order.
fn in_order(wanted: &[Value], live: &[Value]) -> bool {
    let common: Vec<&Value> = live.iter().filter(|l| wanted.contains(l)).collect();
    common.into_iter().eq(wanted.iter())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{NoMergeKeys, SchemaKeys, strategic};

    fn schema() -> Value {
        json!({"properties": {
            "ports": {"type": "array", "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "port", "items": {}},
            "finalizers": {"type": "array", "x-kubernetes-patch-strategy": "merge", "items": {"type": "string"}}}})
    }

    fn check(last: Value, modified: Value, live: Value, patch: Value, result: Value) {
        let schema = schema();
        let keys = SchemaKeys::new(&schema);
        let made = three_way_strategic(Some(&last), &modified, &live, &keys).expect("a patch");
        assert_eq!(made, patch);
        assert_eq!(strategic(&live, &made, &keys), Ok(result));
    }

    #[test]
    fn json_merge() {
        let (last, modified) = (json!({"a": 1, "b": 2, "m": {"x": 1, "y": 1}}), json!({"a": 1, "m": {"x": 2}}));
        let live = json!({"a": 5, "b": 2, "c": 3, "m": {"x": 1, "y": 1, "z": 9}});
        let patch = three_way_json_merge(Some(&last), &modified, &live).expect("a patch");
        assert_eq!(patch, json!({"a": 1, "b": null, "m": {"x": 2, "y": null}}));
        assert_eq!(merged(&live, &patch), json!({"a": 1, "c": 3, "m": {"x": 2, "z": 9}}));
        let same = three_way_json_merge(Some(&modified), &modified, &json!({"a": 1, "m": {"x": 2, "z": 1}}));
        assert_eq!(same, Ok(json!({})));
        let first = three_way_json_merge(None, &json!({"a": 1}), &json!({"b": 1}));
        assert_eq!(first, Ok(json!({"a": 1})));
    }

    #[test]
    fn names_may_not_change() {
        let object = |name: &str| json!({"metadata": {"name": name}});
        assert!(three_way_json_merge(None, &object("a"), &object("b")).is_err());
        assert!(three_way_strategic(None, &object("a"), &object("b"), &NoMergeKeys).is_err());
    }

    #[test]
    fn strategic_maps() {
        check(
            json!({"data": {"a": "1", "b": "2"}}),
            json!({"data": {"a": "9"}}),
            json!({"data": {"a": "1", "b": "2", "c": "3"}}),
            json!({"data": {"a": "9", "b": null}}),
            json!({"data": {"a": "9", "c": "3"}}),
        );
    }

    #[test]
    fn strategic_lists() {
        check(
            json!({"ports": [{"port": 1}, {"port": 2, "n": "x"}]}),
            json!({"ports": [{"port": 3}, {"port": 2, "n": "y"}]}),
            json!({"ports": [{"port": 1}, {"port": 2, "n": "x", "default": true}, {"port": 7}]}),
            json!({"$setElementOrder/ports": [{"port": 3}, {"port": 2}],
                "ports": [{"port": 3}, {"n": "y", "port": 2}, {"$patch": "delete", "port": 1}]}),
            json!({"ports": [{"port": 3}, {"port": 2, "n": "y", "default": true}, {"port": 7}]}),
        );
        check(
            json!({"finalizers": ["a", "b"]}),
            json!({"finalizers": ["c", "b"]}),
            json!({"finalizers": ["a", "b", "theirs"]}),
            json!({"$deleteFromPrimitiveList/finalizers": ["a"], "$setElementOrder/finalizers": ["c", "b"], "finalizers": ["c"]}),
            json!({"finalizers": ["c", "b", "theirs"]}),
        );
    }

    #[test]
    fn nothing_to_do_is_an_empty_patch() {
        let object = json!({"ports": [{"port": 1}], "finalizers": ["a"], "data": {"a": "1"}});
        check(object.clone(), object.clone(), object.clone(), json!({}), object);
    }

    #[test]
    fn two_ways() {
        let schema = schema();
        let keys = SchemaKeys::new(&schema);
        let (a, b) = (json!({"x": 1, "ports": [{"port": 1}]}), json!({"y": 2, "ports": [{"port": 2}]}));
        let patch = two_way_strategic(&a, &b, &keys).expect("a patch");
        assert_eq!(strategic(&a, &patch, &keys), Ok(b));
    }

    /// What kubectl 1.32 sent to a server that held `live`, without the annotation that apply itself changes.
    #[test]
    fn patches_are_those_of_kubectl() {
        let cases: Value = serde_json::from_str(include_str!("testdata/kubectl-apply.json")).expect("JSON");
        let by_key = |key: &str| json!({"x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": key, "items": {}});
        let schema = json!({"properties": {"secrets": by_key("name"),
            "metadata": {"properties": {"finalizers": {"x-kubernetes-patch-strategy": "merge"}}},
            "spec": {"properties": {"ports": by_key("port")}}}});
        let keys = SchemaKeys::new(&schema);
        for case in cases.as_array().expect("a list") {
            let (modified, live) = (&case["modified"], &case["live"]);
            let patch = three_way_strategic(Some(&case["last"]), modified, live, &keys).expect("a patch");
            assert_eq!(patch, case["patch"], "{modified} {live}");
        }
    }

    fn any_map() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            (0i64..4).prop_map(Value::from),
            "[ab]{0,2}".prop_map(Value::from)
        ];
        let tree = leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[abc]", inner, 0..4).prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        });
        prop::collection::btree_map("[abc]", tree, 0..4).prop_map(|m| Value::Object(m.into_iter().collect()))
    }

    fn any_ports() -> impl Strategy<Value = Value> {
        let ports = prop::collection::btree_map(0i64..5, 0i64..3, 0..5).prop_shuffle_ports();
        let finalizers = prop::sample::subsequence(vec!["a", "b", "c", "d"], 0..4).prop_shuffle();
        (ports, finalizers).prop_map(|(ports, finalizers)| json!({"ports": ports, "finalizers": finalizers}))
    }

    trait ShufflePorts {
        fn prop_shuffle_ports(self) -> BoxedStrategy<Value>;
    }

    impl<S: Strategy<Value = std::collections::BTreeMap<i64, i64>> + 'static> ShufflePorts for S {
        fn prop_shuffle_ports(self) -> BoxedStrategy<Value> {
            self.prop_map(|m| m.into_iter().map(|(k, v)| json!({"port": k, "v": v})).collect::<Vec<_>>())
                .prop_shuffle()
                .prop_map(Value::from)
                .boxed()
        }
    }

    proptest! {
        #[test]
        fn a_two_way_merge_patch_leads_there(a in any_map(), b in any_map()) {
            prop_assert_eq!(merged(&a, &two_way_merge(&a, &b)), b);
        }

        #[test]
        fn merge_patches_are_idempotent(a in any_map(), patch in any_map()) {
            let once = merged(&a, &patch);
            prop_assert_eq!(merged(&once, &patch), once);
        }

        #[test]
        fn a_two_way_strategic_patch_leads_there(a in any_ports(), b in any_ports()) {
            let schema = schema();
            let keys = SchemaKeys::new(&schema);
            let patch = two_way_strategic(&a, &b, &keys).expect("a patch");
            prop_assert_eq!(strategic(&a, &patch, &keys), Ok(b));
        }

        #[test]
        fn applying_twice_changes_nothing(last in any_ports(), modified in any_ports(), live in any_ports()) {
            let schema = schema();
            let keys = SchemaKeys::new(&schema);
            let patch = three_way_strategic(Some(&last), &modified, &live, &keys).expect("a patch");
            let applied = strategic(&live, &patch, &keys).expect("applies");
            let again = three_way_strategic(Some(&modified), &modified, &applied, &keys).expect("a patch");
            prop_assert_eq!(again, json!({}));
        }
    }
}
