//! Namespaces: born active, kept by their own finalizer until they are empty.

use jiff::Timestamp;
use rdd_api::object::{metadata_mut, name};
use serde_json::{Value, json};

use crate::strategy::Strategy;

/// The finalizer in `spec.finalizers` that the namespace controller removes.
pub const KUBERNETES_FINALIZER: &str = "kubernetes";

const NAME_LABEL: &str = "kubernetes.io/metadata.name";

pub(crate) struct NamespaceStrategy;

fn set_name_label(object: &mut Value) {
    let name = name(object).to_owned();
    let labels = metadata_mut(object).entry("labels").or_insert_with(|| json!({}));
    if !labels.is_object() {
        *labels = json!({});
    }
    labels[NAME_LABEL] = json!(name);
}

impl Strategy for NamespaceStrategy {
    fn prepare_create(&self, object: &mut Value, _now: Timestamp) {
        let mut finalizers: Vec<Value> =
            object.pointer("/spec/finalizers").and_then(Value::as_array).cloned().unwrap_or_default();
        if !finalizers.iter().any(|f| f == KUBERNETES_FINALIZER) {
            finalizers.push(json!(KUBERNETES_FINALIZER));
        }
        object["spec"] = json!({"finalizers": finalizers});
        object["status"] = json!({"phase": "Active"});
        set_name_label(object);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value, _now: Timestamp) {
        // Only the subresource `finalize` changes them.
        match old.get("spec") {
            Some(spec) => object["spec"] = spec.clone(),
            None => {
                object.as_object_mut().map(|o| o.remove("spec"));
            }
        }
        set_name_label(object);
    }

    fn prepare_delete(&self, object: &mut Value, _now: Timestamp) {
        if !object.get("status").is_some_and(Value::is_object) {
            object["status"] = json!({});
        }
        object["status"]["phase"] = json!("Terminating");
    }

    fn keeps(&self, object: &Value) -> bool {
        object.pointer("/spec/finalizers").and_then(Value::as_array).is_some_and(|f| !f.is_empty())
    }
}
