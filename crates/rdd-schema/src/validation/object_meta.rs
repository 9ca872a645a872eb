//! `metadata`, as `k8s.io/apimachinery/pkg/api/validation/objectmeta.go` judges it.
//!
//! Types are not checked here: [`crate::metadata::coerce`] did that.

use rdd_api::field::quote;
use rdd_api::{FieldError, FieldErrorKind};
use serde_json::Value;

use super::names::{self, NameFormat};
use crate::path::Path;

/// Keys and values of all annotations together.
const ANNOTATIONS_LIMIT: usize = 256 * 1024;

/// Validates the `metadata` of an object. Paths begin with `metadata`.
pub fn object_meta(object: &Value, namespaced: bool, format: NameFormat) -> Vec<FieldError> {
    let null = Value::Null;
    let metadata = object.get("metadata").unwrap_or(&null);
    let path = Path::Root.child("metadata");
    let mut errors = Vec::new();
    object_name(metadata, format, &path, &mut errors);
    namespace(metadata, namespaced, &path, &mut errors);
    if let Some(generation) = metadata.get("generation").and_then(Value::as_i64).filter(|g| *g < 0) {
        let detail = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(path.child("generation"), &generation.into(), detail));
    }
    labels(metadata, &path.child("labels"), &mut errors);
    annotations(metadata, &path.child("annotations"), &mut errors);
    owner_references(metadata, &path.child("ownerReferences"), &mut errors);
    finalizers(metadata, &path.child("finalizers"), &mut errors);
    errors
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn object_name(metadata: &Value, format: NameFormat, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let prefix = text(metadata, "generateName");
    if !prefix.is_empty() {
        for problem in names::name(format, prefix, true) {
            errors.push(FieldError::invalid(path.child("generateName"), &prefix.into(), &problem));
        }
    }
    let name = text(metadata, "name");
    if name.is_empty() {
        errors.push(FieldError::required(path.child("name"), "name or generateName is required"));
        return;
    }
    for problem in names::name(format, name, false) {
        errors.push(FieldError::invalid(path.child("name"), &name.into(), &problem));
    }
}

fn namespace(metadata: &Value, namespaced: bool, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let namespace = text(metadata, "namespace");
    let at = path.child("namespace");
    match (namespaced, namespace) {
        (true, "") => errors.push(FieldError::required(at, "")),
        (true, namespace) => {
            for problem in names::dns1123_label(namespace) {
                errors.push(FieldError::invalid(at, &namespace.into(), &problem));
            }
        }
        (false, "") => {}
        (false, _) => errors.push(FieldError::forbidden(at, "not allowed on this type")),
    }
}

fn labels(metadata: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    for (key, value) in metadata.get("labels").and_then(Value::as_object).into_iter().flatten() {
        for problem in names::qualified_name(key) {
            errors.push(FieldError::invalid(path, &key.as_str().into(), &problem));
        }
        for problem in names::label_value(value.as_str().unwrap_or_default()) {
            errors.push(FieldError::invalid(path, value, &problem));
        }
    }
}

fn annotations(metadata: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let mut size = 0;
    for (key, value) in metadata.get("annotations").and_then(Value::as_object).into_iter().flatten() {
        for problem in names::qualified_name(&key.to_lowercase()) {
            errors.push(FieldError::invalid(path, &key.as_str().into(), &problem));
        }
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS_LIMIT {
        errors.push(FieldError::too_long(path, ANNOTATIONS_LIMIT));
    }
}

fn owner_references(metadata: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let mut controller: Option<&Value> = None;
    let references = metadata.get("ownerReferences").and_then(Value::as_array);
    for reference in references.into_iter().flatten() {
        // Upstream's paths carry no index here.
        let at = *path;
        let api_version = text(reference, "apiVersion");
        let kind = text(reference, "kind");
        let version = rdd_api::GroupVersion::parse(api_version);
        if version.is_none() {
            let detail = "version must not be empty";
            errors.push(FieldError::invalid(at.child("apiVersion"), &api_version.into(), detail));
        }
        for (field, detail) in
            [("kind", "kind must not be empty"), ("name", "name must not be empty"), ("uid", "uid must not be empty")]
        {
            let value = text(reference, field);
            if value.is_empty() {
                // Upstream prints the empty value, not "Required".
                errors.push(FieldError::invalid(at.child(field), &value.into(), detail));
            }
        }
        if kind == "Event" && matches!(api_version, "v1" | "events.k8s.io/v1") {
            let version = version.map(|v| v.with_kind(kind).to_string()).unwrap_or_default();
            let detail = format!("{version} is disallowed from being an owner");
            errors.push(FieldError::invalid(at, reference, &detail));
        }
        if reference.get("controller") == Some(&Value::Bool(true)) {
            match controller {
                None => controller = Some(reference),
                Some(first) => {
                    let name = |r: &Value| format!("{}/{}", text(r, "kind"), text(r, "name"));
                    let detail = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {} and {}",
                        name(first),
                        name(reference)
                    );
                    let all = metadata.get("ownerReferences").unwrap_or(&Value::Null);
                    errors.push(FieldError::invalid(path, all, &detail));
                }
            }
        }
    }
}

fn finalizers(metadata: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let names: Vec<&str> =
        metadata.get("finalizers").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    for name in &names {
        for problem in names::qualified_name(name) {
            errors.push(FieldError::invalid(path, &(*name).into(), &problem));
        }
    }
    if names.contains(&"orphan") && names.contains(&"foregroundDeletion") {
        let all: Value = names.iter().map(|n| Value::from(*n)).collect();
        let detail = "finalizers orphan and foregroundDeletion cannot be both set";
        errors.push(FieldError::invalid(path, &all, detail));
    }
}

/// Validates what an update may not change, once the server has restored what it owns itself.
pub fn object_meta_update(object: &Value, old: &Value) -> Vec<FieldError> {
    let null = Value::Null;
    let (new, old) = (object.get("metadata").unwrap_or(&null), old.get("metadata").unwrap_or(&null));
    let path = Path::Root.child("metadata");
    let mut errors = Vec::new();
    // A terminating object takes no new finalizers.
    if old.get("deletionTimestamp").is_some_and(|t| !t.is_null()) {
        let list = |m: &Value| -> Vec<String> {
            let names = m.get("finalizers").and_then(Value::as_array).into_iter().flatten();
            names.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let had = list(old);
        let added: Vec<String> = list(new).into_iter().filter(|f| !had.contains(f)).collect();
        if !added.is_empty() {
            let shown = added.iter().map(|f| quote(f)).collect::<Vec<_>>().join(", ");
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{shown}}}"
            );
            errors.push(FieldError::forbidden(path.child("finalizers"), &detail));
        }
    }
    for field in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let (now, before) = (new.get(field).unwrap_or(&null), old.get(field).unwrap_or(&null));
        if now != before {
            errors.push(FieldError {
                kind: FieldErrorKind::Invalid,
                ..FieldError::invalid(path.child(field), now, "field is immutable")
            });
        }
    }
    errors
}

/// Returns the warnings for finalizers that are not domain-qualified.
pub fn finalizer_warnings(object: &Value) -> Vec<String> {
    let names = rdd_api::object::finalizers(object);
    let standard = ["orphan", "foregroundDeletion", "kubernetes"];
    names
        .filter(|name| !name.contains('/') && !standard.contains(name))
        .map(|name| {
            format!(
                "metadata.finalizers: {}: prefer a domain-qualified finalizer name including a path (/) to avoid \
                 accidental conflicts with other finalizer writers",
                quote(name)
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(metadata: Value, expect: &[&str]) {
        let errors = object_meta(&json!({"metadata": metadata}), true, NameFormat::Subdomain);
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), expect);
    }

    #[test]
    fn metadata() {
        check(json!({"name": "a", "namespace": "d"}), &[]);
        check(json!({"namespace": "d"}), &["metadata.name: Required value: name or generateName is required"]);
        check(
            json!({"name": "a", "namespace": "d", "finalizers": ["orphan", "foregroundDeletion"]}),
            &[
                r#"metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: finalizers orphan and foregroundDeletion cannot be both set"#,
            ],
        );
        check(
            json!({"name": "a", "namespace": "d", "annotations": {"a": "x".repeat(300_000)}}),
            &["metadata.annotations: Too long: may not be more than 262144 bytes"],
        );
        let owner = |name: &str| json!({"apiVersion": "v1", "kind": "A", "name": name, "uid": "u", "controller": true});
        let errors = object_meta(
            &json!({"metadata": {"name": "a", "namespace": "d", "ownerReferences": [owner("b"), owner("d")]}}),
            true,
            NameFormat::Subdomain,
        );
        assert!(errors[0].to_string().ends_with(
            "Only one reference can have Controller set to true. Found \"true\" in references for A/b and A/d"
        ));
        check(
            json!({"name": "a", "namespace": "d", "labels": {"a/b/c": "x"}}),
            &[
                "metadata.labels: Invalid value: \"a/b/c\": a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must \
             start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for \
             validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' \
             (e.g. 'example.com/MyName')",
            ],
        );
    }

    #[test]
    fn cluster_scope_has_no_namespace() {
        let object = json!({"metadata": {"name": "a", "namespace": "d"}});
        let errors = object_meta(&object, false, NameFormat::Subdomain);
        assert_eq!(errors[0].to_string(), "metadata.namespace: Forbidden: not allowed on this type");
    }

    #[test]
    fn updates() {
        let old = json!({"metadata": {"name": "a", "uid": "u", "deletionTimestamp": "x", "finalizers": ["a/b"]}});
        let mut new = old.clone();
        assert_eq!(object_meta_update(&new, &old), []);
        new["metadata"]["finalizers"] = json!(["a/b", "c/d"]);
        new["metadata"]["uid"] = json!("v");
        let texts: Vec<_> = object_meta_update(&new, &old).iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new \
             finalizers []string{\"c/d\"}",
                r#"metadata.uid: Invalid value: "v": field is immutable"#,
            ]
        );
    }

    #[test]
    fn finalizers_should_be_qualified() {
        let object = json!({"metadata": {"finalizers": ["x", "a/b", "orphan"]}});
        assert_eq!(finalizer_warnings(&object).len(), 1);
    }
}
