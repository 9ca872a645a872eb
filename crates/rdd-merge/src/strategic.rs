//! Strategic merge patch: maps merge, lists merge by key where the schema says so, and directives
//! in the patch say the rest.
//!
//! After `k8s.io/apimachinery/pkg/util/strategicpatch/patch.go`. Directives: `$patch` (`replace`,
//! `delete`, `merge`), `$retainKeys`, `$deleteFromPrimitiveList/<field>`, `$setElementOrder/<field>`.

use serde_json::{Map, Value};

use crate::error::PatchError;
use crate::keys::{ListStrategy, MergeKeys};

pub(crate) const PATCH: &str = "$patch";
pub(crate) const RETAIN_KEYS: &str = "$retainKeys";
pub(crate) const DELETE_FROM: &str = "$deleteFromPrimitiveList";
pub(crate) const ORDER: &str = "$setElementOrder";

/// Applies a strategic merge patch.
pub fn strategic(target: &Value, patch: &Value, schema: &dyn MergeKeys) -> Result<Value, PatchError> {
    let (Value::Object(target), Value::Object(patch)) = (target, patch) else {
        return Err(PatchError::Malformed("invalid JSON document".into()));
    };
    merge_maps(target.clone(), patch, schema).map(Value::Object)
}

fn merge_maps(
    mut original: Map<String, Value>,
    patch: &Map<String, Value>,
    schema: &dyn MergeKeys,
) -> Result<Map<String, Value>, PatchError> {
    match patch.get(PATCH) {
        None => {}
        Some(Value::String(directive)) => match directive.as_str() {
            "replace" => {
                let mut patch = patch.clone();
                patch.remove(PATCH);
                return Ok(patch);
            }
            "delete" => return Ok(Map::new()),
            "merge" => {}
            other => return Err(unknown_directive(other, patch)),
        },
        Some(other) => return Err(unknown_directive(&other.to_string(), patch)),
    }
    retain_keys(&mut original, patch)?;
    // Order and deletions first: they name lists that the patch itself may not touch.
    for (key, value) in patch {
        if let Some(field) = key.strip_prefix(DELETE_FROM).and_then(|k| k.strip_prefix('/')) {
            delete_from(&mut original, field, value)?;
        }
    }
    for (key, value) in patch {
        if is_directive(key) {
            continue;
        }
        if value.is_null() {
            original.remove(key);
            continue;
        }
        let Some(current) = original.remove(key).filter(|c| !c.is_null()) else {
            let fresh = fresh(value, key, schema)?;
            if let Some(fresh) = fresh {
                original.insert(key.clone(), fresh);
            }
            continue;
        };
        let merged = match (current, value) {
            (Value::Object(current), Value::Object(value)) => {
                Value::Object(merge_maps(current, value, &*schema.below(key))?)
            }
            (Value::Array(current), Value::Array(value)) => Value::Array(merge_lists(current, value, key, schema)?),
            (_, value) => strip(value),
        };
        // A map that deleted itself goes with its key.
        if is_deletion(value) {
            continue;
        }
        original.insert(key.clone(), merged);
    }
    for (key, order) in patch {
        if let Some(field) = key.strip_prefix(ORDER).and_then(|k| k.strip_prefix('/')) {
            set_order(&mut original, field, order, patch, schema)?;
        }
    }
    Ok(original)
}

fn is_deletion(value: &Value) -> bool {
    value.get(PATCH).and_then(Value::as_str) == Some("delete")
}

fn is_directive(key: &str) -> bool {
    key == PATCH
        || key == RETAIN_KEYS
        || key.starts_with("$deleteFromPrimitiveList/")
        || key.starts_with("$setElementOrder/")
}

fn unknown_directive(directive: &str, patch: &Map<String, Value>) -> PatchError {
    PatchError::Malformed(format!("unknown patch type: {directive} in map: {}", go_map(patch)))
}

/// What a patch leaves where nothing stood before: itself, applied to nothing.
fn fresh(value: &Value, key: &str, schema: &dyn MergeKeys) -> Result<Option<Value>, PatchError> {
    Ok(match value {
        value if is_deletion(value) => None,
        Value::Object(map) => Some(Value::Object(merge_maps(Map::new(), map, &*schema.below(key))?)),
        Value::Array(items) => Some(Value::Array(merge_lists(Vec::new(), items, key, schema)?)),
        other => Some(other.clone()),
    })
}

/// Directives never reach the object.
fn strip(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(k, v)| !is_directive(k) && !v.is_null());
            Value::Object(kept.map(|(k, v)| (k.clone(), strip(v))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(strip).collect()),
        other => other.clone(),
    }
}

fn retain_keys(original: &mut Map<String, Value>, patch: &Map<String, Value>) -> Result<(), PatchError> {
    let Some(retain) = patch.get(RETAIN_KEYS) else { return Ok(()) };
    let Value::Array(retain) = retain else {
        return Err(PatchError::Malformed(format!("invalid patch format of {RETAIN_KEYS} directive")));
    };
    let retained = |key: &str| retain.iter().any(|r| r.as_str() == Some(key));
    if patch.iter().any(|(key, value)| !is_directive(key) && !value.is_null() && !retained(key)) {
        return Err(PatchError::Unprocessable("patch content doesn't match retainKeys list".into()));
    }
    original.retain(|key, _| retained(key));
    Ok(())
}

fn delete_from(original: &mut Map<String, Value>, field: &str, values: &Value) -> Result<(), PatchError> {
    let Value::Array(values) = values else {
        return Err(PatchError::Malformed(format!("invalid patch format of {DELETE_FROM} directive")));
    };
    if let Some(Value::Array(items)) = original.get_mut(field) {
        items.retain(|item| !values.contains(item));
    }
    Ok(())
}

fn merge_lists(
    original: Vec<Value>,
    patch: &[Value],
    field: &str,
    schema: &dyn MergeKeys,
) -> Result<Vec<Value>, PatchError> {
    if original.iter().chain(patch).any(Value::is_array) && schema.list(field) != ListStrategy::Atomic {
        return Err(PatchError::Unprocessable("lists of lists are not supported".into()));
    }
    match schema.list(field) {
        ListStrategy::Atomic => Ok(patch.iter().filter(|p| p.get(PATCH).is_none()).map(strip).collect()),
        ListStrategy::AsSet => {
            let mut merged = original;
            for item in patch {
                if !merged.contains(item) {
                    merged.push(item.clone());
                }
            }
            Ok(merged)
        }
        ListStrategy::ByKey(key) => merge_keyed(original, patch, field, &key, schema),
    }
}

fn merge_keyed(
    original: Vec<Value>,
    patch: &[Value],
    field: &str,
    key: &str,
    schema: &dyn MergeKeys,
) -> Result<Vec<Value>, PatchError> {
    // `{"$patch": "replace"}` alone in a list replaces the whole list.
    let is_replacement = |item: &Value| item.get(PATCH).and_then(Value::as_str) == Some("replace");
    if patch.iter().any(is_replacement) {
        return Ok(patch.iter().filter(|p| !is_replacement(p)).map(strip).collect());
    }
    let below = schema.below(field);
    let mut merged = original;
    for item in patch {
        let Value::Object(map) = item else {
            return Err(PatchError::Malformed(format!("invalid patch format of list {field}: its items must be maps")));
        };
        let Some(identity) = map.get(key) else {
            let text = format!("map: {} does not contain declared merge key: {key}", go_map(map));
            return Err(PatchError::MissingMergeKey(text));
        };
        let at = merged.iter().position(|m| m.get(key) == Some(identity));
        match (is_deletion(item), at) {
            (true, Some(_)) => merged.retain(|m| m.get(key) != Some(identity)),
            (true, None) => {}
            (false, Some(at)) => {
                let current = match merged[at].take() {
                    Value::Object(current) => current,
                    _ => Map::new(),
                };
                merged[at] = Value::Object(merge_maps(current, map, &*below)?);
            }
            (false, None) => merged.push(Value::Object(merge_maps(Map::new(), map, &*below)?)),
        }
    }
    Ok(merged)
}

/// Puts a list into the order that the patch gives. Items that only the server has stay behind the
/// server item that they followed.
fn set_order(
    original: &mut Map<String, Value>,
    field: &str,
    order: &Value,
    patch: &Map<String, Value>,
    schema: &dyn MergeKeys,
) -> Result<(), PatchError> {
    let Value::Array(order) = order else {
        return Err(PatchError::Malformed(format!("invalid patch format of {ORDER} directive")));
    };
    let key = match schema.list(field) {
        ListStrategy::Atomic => return Ok(()),
        ListStrategy::AsSet => None,
        ListStrategy::ByKey(key) => Some(key),
    };
    let identity = |item: &Value| match &key {
        Some(key) => item.get(key).cloned().unwrap_or(Value::Null),
        None => item.clone(),
    };
    let wanted: Vec<Value> = order.iter().map(&identity).collect();
    // What the patch brings must stand in the order it asks for.
    if let Some(Value::Array(items)) = patch.get(field) {
        let kept = items.iter().filter(|i| i.get(PATCH).is_none());
        let mut at = 0;
        for item in kept {
            let item = identity(item);
            match wanted[at..].iter().position(|w| *w == item) {
                Some(offset) => at += offset + 1,
                None => {
                    let text = format!(
                        "The order in patch list:\n{}\n doesn't match {ORDER} list:\n{}\n",
                        Value::Array(items.clone()),
                        Value::Array(order.clone())
                    );
                    return Err(PatchError::Unprocessable(text));
                }
            }
        }
    }
    let Some(Value::Array(items)) = original.get_mut(field) else { return Ok(()) };
    let (mut ordered, mut others) = (vec![None; wanted.len()], Vec::new());
    let mut last_wanted: Option<usize> = None;
    for item in items.drain(..) {
        match wanted.iter().position(|w| *w == identity(&item)) {
            Some(at) => {
                last_wanted = Some(at);
                ordered[at] = Some(item);
            }
            // Remember behind which wanted item this one stood.
            None => others.push((last_wanted, item)),
        }
    }
    let mut result: Vec<Value> = Vec::new();
    let take = |after: Option<usize>, result: &mut Vec<Value>, others: &mut Vec<(Option<usize>, Value)>| {
        let (here, rest): (Vec<_>, Vec<_>) = others.drain(..).partition(|(a, _)| *a == after);
        *others = rest;
        result.extend(here.into_iter().map(|(_, item)| item));
    };
    take(None, &mut result, &mut others);
    for (at, item) in ordered.into_iter().enumerate() {
        result.extend(item);
        take(Some(at), &mut result, &mut others);
    }
    *items = result;
    Ok(())
}

/// Prints a map as Go's `%v` does: `map[a:1 b:x]`.
fn go_map(map: &Map<String, Value>) -> String {
    fn value(v: &Value) -> String {
        match v {
            Value::String(s) => s.clone(),
            Value::Null => "<nil>".into(),
            Value::Array(items) => format!("[{}]", items.iter().map(value).collect::<Vec<_>>().join(" ")),
            Value::Object(map) => go_map(map),
            other => other.to_string(),
        }
    }
    let entries: Vec<String> = map.iter().map(|(k, v)| format!("{k}:{}", value(v))).collect();
    format!("map[{}]", entries.join(" "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::SchemaKeys;

    fn schema() -> Value {
        json!({"properties": {
            "ports": {"type": "array", "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "port",
                "items": {"properties": {"inner": {"type": "array", "x-kubernetes-patch-strategy": "merge",
                    "x-kubernetes-patch-merge-key": "name", "items": {}}}}},
            "finalizers": {"type": "array", "x-kubernetes-patch-strategy": "merge", "items": {"type": "string"}},
            "atomic": {"type": "array", "items": {}},
            "spec": {"x-kubernetes-patch-strategy": "retainKeys"}}})
    }

    fn check(target: Value, patch: Value, expect: Value) {
        assert_eq!(strategic(&target, &patch, &SchemaKeys::new(&schema())), Ok(expect), "{patch}");
    }

    #[test]
    fn maps_and_nulls() {
        check(json!({"a": {"b": 1, "c": 2}}), json!({"a": {"b": null, "d": 3}}), json!({"a": {"c": 2, "d": 3}}));
        check(json!({"a": {"b": 1}}), json!({"a": {"$patch": "replace", "c": 2}}), json!({"a": {"c": 2}}));
        check(json!({"a": {"b": 1}, "x": 1}), json!({"a": {"$patch": "delete"}}), json!({"x": 1}));
        check(json!({}), json!({"a": {"b": null, "c": 1}}), json!({"a": {"c": 1}}));
        check(json!({"atomic": [1, 2]}), json!({"atomic": [3]}), json!({"atomic": [3]}));
        check(json!({"a": 1}), json!({"a": {"b": 1}}), json!({"a": {"b": 1}}));
    }

    #[test]
    fn lists_merge_by_key() {
        let target = json!({"ports": [{"port": 1, "n": "a"}, {"port": 2, "n": "b"}]});
        check(
            target.clone(),
            json!({"ports": [{"port": 2, "n": "x"}, {"port": 3}]}),
            json!({"ports": [{"port": 1, "n": "a"}, {"port": 2, "n": "x"}, {"port": 3}]}),
        );
        check(
            target.clone(),
            json!({"ports": [{"port": 1, "$patch": "delete"}]}),
            json!({"ports": [{"port": 2, "n": "b"}]}),
        );
        check(target.clone(), json!({"ports": [{"$patch": "replace"}, {"port": 9}]}), json!({"ports": [{"port": 9}]}));
        check(
            json!({"ports": [{"port": 1, "inner": [{"name": "a", "v": 1}]}]}),
            json!({"ports": [{"port": 1, "inner": [{"name": "b"}]}]}),
            json!({"ports": [{"port": 1, "inner": [{"name": "a", "v": 1}, {"name": "b"}]}]}),
        );
        let error = strategic(&target, &json!({"ports": [{"n": "x"}]}), &SchemaKeys::new(&schema()));
        let text = "map: map[n:x] does not contain declared merge key: port";
        assert_eq!(error, Err(PatchError::MissingMergeKey(text.into())));
    }

    #[test]
    fn order_is_set() {
        check(
            json!({"ports": [{"port": 1}, {"port": 7}, {"port": 2}, {"port": 8}]}),
            json!({"$setElementOrder/ports": [{"port": 2}, {"port": 3}, {"port": 1}], "ports": [{"port": 3}]}),
            json!({"ports": [{"port": 2}, {"port": 8}, {"port": 3}, {"port": 1}, {"port": 7}]}),
        );
        check(
            json!({"finalizers": ["a", "b"]}),
            json!({"$setElementOrder/finalizers": ["c", "a"], "finalizers": ["c"], "$deleteFromPrimitiveList/finalizers": ["b"]}),
            json!({"finalizers": ["c", "a"]}),
        );
    }

    #[test]
    fn sets_and_deletions() {
        check(json!({"finalizers": ["a"]}), json!({"finalizers": ["b", "a"]}), json!({"finalizers": ["a", "b"]}));
        check(
            json!({"finalizers": ["a", "b"]}),
            json!({"$deleteFromPrimitiveList/finalizers": ["a"]}),
            json!({"finalizers": ["b"]}),
        );
    }

    #[test]
    fn retained_keys() {
        check(
            json!({"spec": {"a": 1, "b": 2}}),
            json!({"spec": {"$retainKeys": ["b", "c"], "c": 3}}),
            json!({"spec": {"b": 2, "c": 3}}),
        );
        let target = json!({"spec": {}});
        let error = strategic(&target, &json!({"spec": {"$retainKeys": ["b"], "c": 3}}), &SchemaKeys::new(&schema()));
        assert_eq!(error, Err(PatchError::Unprocessable("patch content doesn't match retainKeys list".into())));
    }

    #[test]
    fn bad_patches() {
        let fail = |patch: Value| strategic(&json!({"a": {}}), &patch, &crate::NoMergeKeys).expect_err("refused");
        assert_eq!(fail(json!([])), PatchError::Malformed("invalid JSON document".into()));
        assert!(matches!(fail(json!({"a": {"$patch": "fly"}})), PatchError::Malformed(_)));
    }
}
