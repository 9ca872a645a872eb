//! JSON patch (RFC 6902), with upstream's limits and leniencies.

use json_patch::jsonptr::PointerBuf;
use json_patch::{Patch, PatchOperation};
use serde_json::Value;

use crate::error::PatchError;

/// More operations than this are refused.
const MAX_OPERATIONS: usize = 10_000;
/// All `copy` operations of a patch together may add this many bytes.
const MAX_COPIED: usize = 3 * 1024 * 1024;
/// No operation may make anything nest deeper. A patch of a few kilobytes would otherwise make a document that no
/// reader takes, and that overflows the stack of whoever walks over it.
const MAX_DEPTH: usize = 128;

/// Applies a JSON patch.
///
/// As upstream's library: a path into nowhere fails, except `test` against null; indices count
/// from the front only.
pub fn json_patch(target: &Value, patch: &Value) -> Result<Value, PatchError> {
    let Value::Array(operations) = patch else {
        return Err(PatchError::Malformed("invalid JSON patch: it must be a list of operations".into()));
    };
    if operations.len() > MAX_OPERATIONS {
        let text =
            format!("The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}", operations.len());
        return Err(PatchError::TooLarge(text));
    }
    let mut result = target.clone();
    let mut copied = 0;
    for operation in operations {
        apply(&mut result, operation, &mut copied)?;
    }
    Ok(result)
}

fn apply(document: &mut Value, raw: &Value, copied: &mut usize) -> Result<(), PatchError> {
    let operation = read(raw)?;
    check_depth(document, &operation)?;
    match &operation {
        PatchOperation::Test(test) => {
            let found = document.pointer(test.path.as_str()).unwrap_or(&Value::Null);
            return if equal(found, &test.value) {
                Ok(())
            } else {
                Err(PatchError::Unprocessable(format!("testing path {} failed", test.path)))
            };
        }
        PatchOperation::Copy(copy) => {
            *copied += document.pointer(copy.from.as_str()).map_or(0, |v| v.to_string().len());
            if *copied > MAX_COPIED {
                let text = format!(
                    "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the \
                     limit {MAX_COPIED}"
                );
                return Err(PatchError::TooLarge(text));
            }
        }
        _ => {}
    }
    json_patch::patch_unsafe(document, &Patch(vec![operation]))
        .map_err(|e| PatchError::Unprocessable(format!("{}: {}", e.path, e.kind)))
}

/// Refuses what would nest too deep, before it is done: so every document on the way is a flat one.
fn check_depth(document: &Value, operation: &PatchOperation) -> Result<(), PatchError> {
    let (path, value) = match operation {
        PatchOperation::Add(add) => (&add.path, Some(&add.value)),
        PatchOperation::Replace(replace) => (&replace.path, Some(&replace.value)),
        PatchOperation::Copy(copy) => (&copy.path, document.pointer(copy.from.as_str())),
        PatchOperation::Move(moved) => (&moved.path, document.pointer(moved.from.as_str())),
        PatchOperation::Test(_) | PatchOperation::Remove(_) => return Ok(()),
    };
    if path.count() + value.map_or(0, depth) > MAX_DEPTH {
        return Err(PatchError::TooLarge(format!("a JSON patch may not nest deeper than {MAX_DEPTH} levels")));
    }
    Ok(())
}

/// Returns how many arrays and objects lie in each other.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Numbers are equal by value, whatever their spelling.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| equal(v, w)))
        }
        (a, b) => a == b,
    }
}

fn read(raw: &Value) -> Result<PatchOperation, PatchError> {
    // A missing value means null, as in Go.
    let mut raw = raw.clone();
    if let Value::Object(map) = &mut raw {
        if matches!(map.get("op").and_then(Value::as_str), Some("add" | "replace" | "test")) {
            map.entry("value").or_insert(Value::Null);
        }
        for key in ["path", "from"] {
            if let Some(pointer) = map.get(key).and_then(Value::as_str)
                && PointerBuf::parse(pointer.to_owned()).is_err()
            {
                return Err(PatchError::Unprocessable(format!("{pointer:?} is no JSON pointer")));
            }
        }
    }
    match raw.get("op").and_then(Value::as_str) {
        Some("add" | "remove" | "replace" | "move" | "copy" | "test") => {}
        Some(other) => return Err(PatchError::Unprocessable(format!("Unexpected kind: {other}"))),
        None => return Err(PatchError::Malformed("invalid JSON patch: an operation lacks its op".into())),
    }
    serde_json::from_value(raw).map_err(|e| PatchError::Malformed(format!("invalid JSON patch: {e}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(target: Value, patch: Value, expect: Value) {
        assert_eq!(json_patch(&target, &patch), Ok(expect), "{patch}");
    }

    #[test]
    fn operations() {
        let target = json!({"a": {"b": [1, 2]}, "x/y": 1, "m~n": 2});
        check(target.clone(), json!([]), target.clone());
        check(
            target.clone(),
            json!([{"op": "add", "path": "/a/b/-", "value": 3}]),
            json!({"a": {"b": [1, 2, 3]}, "x/y": 1, "m~n": 2}),
        );
        check(
            target.clone(),
            json!([{"op": "add", "path": "/a/b/0", "value": 0}]),
            json!({"a": {"b": [0, 1, 2]}, "x/y": 1, "m~n": 2}),
        );
        check(
            target.clone(),
            json!([{"op": "remove", "path": "/x~1y"}, {"op": "replace", "path": "/m~0n", "value": null}]),
            json!({"a": {"b": [1, 2]}, "m~n": null}),
        );
        check(
            target.clone(),
            json!([{"op": "move", "from": "/a/b", "path": "/c"}, {"op": "copy", "from": "/c/1", "path": "/a/d"}]),
            json!({"a": {"d": 2}, "c": [1, 2], "x/y": 1, "m~n": 2}),
        );
        check(target.clone(), json!([{"op": "test", "path": "/nothing", "value": null}]), target.clone());
        check(target.clone(), json!([{"op": "test", "path": "/a/b", "value": [1.0, 2]}]), target);
    }

    #[test]
    fn failures_have_their_classes() {
        let target = json!({"a": 1});
        let fail = |patch: Value| json_patch(&target, &patch).expect_err("refused");
        assert!(matches!(fail(json!({"a": 1})), PatchError::Malformed(_)));
        assert!(matches!(fail(json!([{"path": "/a"}])), PatchError::Malformed(_)));
        assert!(matches!(fail(json!([{"op": "remove", "path": "/b"}])), PatchError::Unprocessable(_)));
        assert!(matches!(fail(json!([{"op": "replace", "path": "/b", "value": 1}])), PatchError::Unprocessable(_)));
        assert!(matches!(fail(json!([{"op": "add", "path": "/b/c", "value": 1}])), PatchError::Unprocessable(_)));
        assert!(matches!(fail(json!([{"op": "test", "path": "/a", "value": 2}])), PatchError::Unprocessable(_)));
        assert!(matches!(fail(json!([{"op": "fly", "path": "/a"}])), PatchError::Unprocessable(_)));
        let many: Vec<Value> = (0..=MAX_OPERATIONS).map(|_| json!({"op": "test", "path": "/a", "value": 1})).collect();
        assert!(matches!(fail(Value::Array(many)), PatchError::TooLarge(_)));
    }

    #[test]
    fn copies_are_bounded() {
        let target = json!({"a": "x".repeat(1024 * 1024)});
        let copies: Vec<Value> =
            (0..4).map(|i| json!({"op": "copy", "from": "/a", "path": format!("/b{i}")})).collect();
        assert!(matches!(json_patch(&target, &Value::Array(copies)), Err(PatchError::TooLarge(_))));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!({"a": inner}));
        let deep = |operation: Value| json_patch(&json!({"a": nested(100)}), &json!([operation]));
        assert!(deep(json!({"op": "add", "path": "/b", "value": nested(100)})).is_ok());
        let below = format!("/a{}/b", "/a".repeat(99));
        for operation in [
            json!({"op": "add", "path": below, "value": nested(100)}),
            json!({"op": "copy", "from": "/a", "path": below}),
        ] {
            assert!(matches!(deep(operation.clone()), Err(PatchError::TooLarge(_))), "{operation}");
        }
        // Each copy doubles the depth: a handful of them would go through any stack.
        let mut path = "/a".to_owned();
        let copies: Vec<Value> = (0..14)
            .map(|_| {
                let copy = json!({"op": "copy", "from": "/a", "path": format!("{path}/c")});
                path = format!("{path}/c{}", &path[2..]);
                copy
            })
            .collect();
        let outcome = json_patch(&json!({"a": {"k": 1}}), &Value::Array(copies));
        assert!(matches!(outcome, Err(PatchError::TooLarge(_))));
    }

    #[test]
    fn negative_indices_are_refused() {
        assert!(json_patch(&json!([1]), &json!([{"op": "remove", "path": "/-1"}])).is_err());
    }
}
