//! The rules of `metadata`: what the server fills in, and what it keeps as it was.

use std::collections::HashSet;

use jiff::Timestamp;
use rand::seq::IndexedRandom;
use rdd_api::object::metadata_mut;
use rdd_api::time::format_time;
use serde_json::{Value, json};

const NAME_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const NAME_SUFFIX: usize = 5;
const GENERATED_NAME_LIMIT: usize = 63;

/// What clients may send and the server alone decides, on a new object.
const WIPED: [&str; 6] =
    ["creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"];

/// What an update cannot change.
const KEPT: [&str; 5] = ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"];

/// Removes what the server decides itself.
pub(crate) fn wipe(object: &mut Value) {
    let metadata = metadata_mut(object);
    for field in WIPED {
        metadata.remove(field);
    }
}

/// Puts back what an update cannot change.
pub(crate) fn keep(object: &mut Value, old: &Value) {
    let metadata = metadata_mut(object);
    metadata.remove("selfLink");
    for field in KEPT {
        match old.get("metadata").and_then(|m| m.get(field)) {
            Some(value) => metadata.insert(field.to_owned(), value.clone()),
            None => metadata.remove(field),
        };
    }
    for field in ["name", "namespace"] {
        if let Some(value) = old.get("metadata").and_then(|m| m.get(field)) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
}

/// Fills in what makes a new object one of its own.
pub(crate) fn fill(object: &mut Value, now: Timestamp) {
    let metadata = metadata_mut(object);
    metadata.insert("uid".to_owned(), json!(uuid::Uuid::new_v4().to_string()));
    metadata.insert("creationTimestamp".to_owned(), json!(format_time(now)));
}

/// Removes maps and lists of metadata that are empty, as typed clients and servers leave them out.
pub(crate) fn drop_empty(object: &mut Value) {
    let metadata = metadata_mut(object);
    for field in ["labels", "annotations", "finalizers", "ownerReferences", "generateName", "namespace", "selfLink"] {
        let empty = match metadata.get(field) {
            Some(Value::Object(map)) => map.is_empty(),
            Some(Value::Array(list)) => list.is_empty(),
            Some(Value::String(text)) => text.is_empty(),
            Some(Value::Null) => true,
            _ => false,
        };
        if empty {
            metadata.remove(field);
        }
    }
}

/// Makes a name from its base: five random letters, with the base cut so that the whole is a label.
pub(crate) fn generate_name(base: &str) -> String {
    let keep = base.char_indices().map(|(at, c)| at + c.len_utf8());
    let cut = keep.take_while(|end| *end <= GENERATED_NAME_LIMIT - NAME_SUFFIX).last().unwrap_or(0);
    let mut random = rand::rng();
    let mut name = base[..cut].to_owned();
    for _ in 0..NAME_SUFFIX {
        let letter = NAME_ALPHABET.choose(&mut random).expect("the alphabet is not empty");
        name.push(char::from(*letter));
    }
    name
}

/// Drops owner references that stand twice, with a warning.
pub(crate) fn dedupe_owners(object: &mut Value, warnings: &mut Vec<String>) {
    let Some(Value::Array(owners)) = metadata_mut(object).get_mut("ownerReferences") else { return };
    let mut seen: HashSet<String> = HashSet::with_capacity(owners.len());
    let mut twice: Vec<String> = Vec::new();
    let mut told: HashSet<String> = HashSet::new();
    owners.retain(|owner| {
        let is_new = seen.insert(owner.to_string());
        let uid = owner.get("uid").and_then(Value::as_str).unwrap_or_default().to_owned();
        if !is_new && told.insert(uid.clone()) {
            twice.push(uid);
        }
        is_new
    });
    if !twice.is_empty() {
        warnings.push(format!(
            ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and \
             may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
            twice.join(", ")
        ));
    }
}

/// Returns whether two objects differ in what is wanted: in anything outside of metadata, and outside of
/// status where that is a subresource.
pub(crate) fn wanted_differs(a: &Value, b: &Value, status_subresource: bool) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else { return a != b };
    let ignored = |key: &str| match key {
        "metadata" | "apiVersion" | "kind" => true,
        "status" => status_subresource,
        _ => false,
    };
    let differs = |key: &String| !ignored(key) && a.get(key) != b.get(key);
    a.keys().any(differs) || b.keys().any(differs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names_are_labels() {
        let name = generate_name("abc-");
        assert_eq!((name.len(), &name[..4]), (9, "abc-"));
        assert_eq!(generate_name(&"x".repeat(100)).len(), 63);
        assert!(name[4..].bytes().all(|b| NAME_ALPHABET.contains(&b)));
    }

    #[test]
    fn only_what_is_wanted_counts() {
        let a = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"n": 1}, "status": {"x": 1}});
        let mut b = a.clone();
        b["metadata"] = json!({});
        b["status"] = json!({});
        assert!(!wanted_differs(&a, &b, true));
        assert!(wanted_differs(&a, &b, false));
        b["spec"]["n"] = json!(2);
        assert!(wanted_differs(&a, &b, true));
    }

    #[test]
    fn owners_that_stand_twice_are_told() {
        let owner = json!({"kind": "A", "uid": "u1"});
        let mut object = json!({"metadata": {"ownerReferences": [owner, owner, {"kind": "B", "uid": "u2"}]}});
        let mut warnings = Vec::new();
        dedupe_owners(&mut object, &mut warnings);
        assert_eq!(object["metadata"]["ownerReferences"].as_array().map(Vec::len), Some(2));
        assert!(warnings[0].ends_with("observed: u1"));
    }
}
