//! Conditions in the status of kinds that the server itself reports on: CustomResourceDefinitions and
//! namespaces.

use jiff::Timestamp;
use rdd_api::time::format_time;
use serde_json::{Value, json};

/// Sets a condition in an object's status; `lastTransitionTime` moves only with the condition's status.
pub fn set_condition(object: &mut Value, kind: &str, status: &str, reason: &str, message: &str, now: Timestamp) {
    if !object.get("status").is_some_and(Value::is_object) {
        object["status"] = json!({});
    }
    let conditions = &mut object["status"]["conditions"];
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let list = conditions.as_array_mut().expect("made an array above");
    let present = list.iter().position(|c| c["type"] == kind);
    let since = match present {
        Some(at) if list[at]["status"] == status => list[at]["lastTransitionTime"].clone(),
        _ => json!(format_time(now)),
    };
    let condition = json!({"type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": since});
    match present {
        Some(at) => list[at] = condition,
        None => list.push(condition),
    }
}
