//! CustomResourceDefinitions: defaults, and what happens when one is written. What they must look like
//! stands in `crd_rules.rs`, what becomes of them in `crate::crd`.

use jiff::Timestamp;
use rdd_api::{FieldError, object};
use serde_json::{Value, json};

use crate::builtin::crd_rules::{self as rules, text};
use crate::conditions::set_condition;
use crate::crd::storage_version_name;
use crate::strategy::Strategy;

/// The finalizer that keeps a CRD until its objects are gone.
pub const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

pub(crate) struct CrdStrategy;

fn set_default(value: &mut Value, key: &str, default: impl FnOnce() -> Value) {
    let missing = match value.get(key) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(_) => false,
    };
    if missing {
        value[key] = default();
    }
}

/// Fills in what may be left out.
fn default_spec(crd: &mut Value) {
    let kind = text(crd, "/spec/names/kind").to_owned();
    if let Some(names) = crd.pointer_mut("/spec/names").filter(|n| n.is_object()) {
        set_default(names, "singular", || json!(kind.to_lowercase()));
        set_default(names, "listKind", || json!(format!("{kind}List")));
    }
    if let Some(spec) = crd.get_mut("spec").filter(|s| s.is_object()) {
        set_default(spec, "conversion", || json!({"strategy": "None"}));
    }
}

/// Notes that objects may be stored at the storage version from now on.
fn add_stored_version(crd: &mut Value) {
    let Some(storage) = storage_version_name(crd).map(str::to_owned) else { return };
    if !crd.get("status").is_some_and(Value::is_object) {
        crd["status"] = json!({});
    }
    let stored = &mut crd["status"]["storedVersions"];
    if !stored.is_array() {
        *stored = json!([]);
    }
    let list = stored.as_array_mut().expect("made an array above");
    if !list.iter().any(|v| *v == storage) {
        list.push(json!(storage));
    }
}

impl Strategy for CrdStrategy {
    fn prepare_create(&self, object: &mut Value, _now: Timestamp) {
        default_spec(object);
        object["status"] = json!({"conditions": [], "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": []});
        add_stored_version(object);
    }

    fn prepare_update(&self, object: &mut Value, _old: &Value, _now: Timestamp) {
        default_spec(object);
        add_stored_version(object);
    }

    fn prepare_delete(&self, object: &mut Value, now: Timestamp) {
        let finalizers = object::metadata_mut(object).entry("finalizers").or_insert_with(|| json!([]));
        if let Some(list) = finalizers.as_array_mut()
            && !list.iter().any(|f| f == CLEANUP_FINALIZER)
        {
            list.push(json!(CLEANUP_FINALIZER));
        }
        let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
        set_condition(object, "Terminating", "True", "InstanceDeletionPending", message, now);
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        rules::name(object, &mut errors);
        rules::group(object, &mut errors);
        if object.pointer("/spec/preserveUnknownFields") == Some(&json!(true)) {
            let detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
            errors.push(FieldError::invalid("spec.preserveUnknownFields", &json!(true), detail));
        }
        rules::scope(object, &mut errors);
        rules::names(object, &mut errors);
        rules::versions(object, None, &mut errors);
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let established = crate::crd::is_established(old);
        let immutable: &[&str] =
            if established { &["group", "names/plural", "scope", "names/kind"] } else { &["group", "names/plural"] };
        for field in immutable {
            let (now, before) = (text(object, &format!("/spec/{field}")), text(old, &format!("/spec/{field}")));
            if now != before {
                let path = format!("spec.{}", field.replace('/', "."));
                errors.push(FieldError::invalid(path, &json!(now), "field is immutable"));
            }
        }
        rules::group(object, &mut errors);
        rules::scope(object, &mut errors);
        rules::names(object, &mut errors);
        rules::versions(object, Some(old), &mut errors);
        rules::stored_versions(object, &mut errors);
        errors
    }
}
