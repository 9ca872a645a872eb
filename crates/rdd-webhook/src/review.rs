//! AdmissionReview: what a webhook is told, and what it answers. `k8s.io/api/admission/v1`.

use base64::Engine as _;
use rdd_admission::{Attributes, Operation};
use rdd_api::{GroupVersionKind, GroupVersionResource, Reason, Status};
use serde_json::{Value, json};

use crate::hook::Hook;

/// What a webhook said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    /// The refusal, if it is one.
    pub(crate) denied: Option<Status>,
    /// The JSON patch, if there is one.
    pub(crate) patch: Option<Value>,
    /// What to tell the caller.
    pub(crate) warnings: Vec<String>,
}

/// Returns the `request` of a review. `object` and `old_object` are of the version that the webhook sees.
pub(crate) fn request(
    request: &Attributes,
    version: &str,
    object: Option<&Value>,
    old_object: Option<&Value>,
) -> Value {
    let (mut kind, mut resource) = (request.kind.clone(), request.resource.clone());
    if kind.group == resource.group && kind.version == resource.version {
        version.clone_into(&mut kind.version);
    }
    version.clone_into(&mut resource.version);
    let user = &request.user;
    let mut options = json!({"kind": options_kind(request.operation), "apiVersion": "meta.k8s.io/v1"});
    if request.dry_run {
        options["dryRun"] = json!(["All"]);
    }
    let mut told = json!({
        "uid": uuid::Uuid::new_v4().to_string(),
        "kind": kind_json(&kind), "resource": resource_json(&resource),
        "requestKind": kind_json(&request.kind), "requestResource": resource_json(&request.resource),
        "name": request.name, "namespace": request.namespace.as_deref().unwrap_or_default(),
        "operation": operation(request.operation),
        "userInfo": {"username": user.name, "groups": user.groups},
        "object": object, "oldObject": old_object, "dryRun": request.dry_run, "options": options,
    });
    // As in Go, what is empty is not there.
    for field in ["name", "namespace"] {
        if told[field] == "" {
            told.as_object_mut().expect("made above").remove(field);
        }
    }
    if !user.uid.is_empty() {
        told["userInfo"]["uid"] = json!(user.uid);
    }
    if !user.extra.is_empty() {
        told["userInfo"]["extra"] = json!(user.extra);
    }
    if let Some(subresource) = &request.subresource {
        told["subResource"] = json!(subresource);
        told["requestSubResource"] = json!(subresource);
    }
    told
}

/// Returns the review that a webhook gets.
pub(crate) fn review(hook: &Hook, request: &Value) -> Value {
    json!({"kind": "AdmissionReview", "apiVersion": hook.review_version, "request": request})
}

/// Returns an operation as rules and reviews name it.
pub(crate) fn operation(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "CREATE",
        Operation::Update => "UPDATE",
        Operation::Delete => "DELETE",
        Operation::Connect => "CONNECT",
    }
}

fn options_kind(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "CreateOptions",
        Operation::Update => "UpdateOptions",
        Operation::Delete => "DeleteOptions",
        Operation::Connect => "ConnectOptions",
    }
}

fn kind_json(kind: &GroupVersionKind) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": kind.kind})
}

fn resource_json(resource: &GroupVersionResource) -> Value {
    json!({"group": resource.group, "version": resource.version, "resource": resource.resource})
}

/// Reads the answer. The error says what is wrong with it.
pub(crate) fn read(hook: &Hook, uid: &str, mutating: bool, answer: &Value) -> Result<Verdict, String> {
    let text = |value: &Value, field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let named = |api_version: &str, kind: &str| {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        format!("{group}/{version}, Kind={kind}")
    };
    let (api_version, kind) = (text(answer, "apiVersion"), text(answer, "kind"));
    // The older version was sent without a type, and without a uid.
    let is_strict = hook.review_version == "admission.k8s.io/v1";
    if is_strict && (api_version != hook.review_version || kind != "AdmissionReview") {
        let (wanted, found) = (named(hook.review_version, "AdmissionReview"), named(&api_version, &kind));
        return Err(format!("expected webhook response of {wanted}, got {found}"));
    }
    let response = answer.get("response").filter(|response| response.is_object());
    let response = response.ok_or("webhook response was absent")?;
    let found = text(response, "uid");
    if is_strict && found != uid {
        return Err(format!("expected response.uid={uid:?}, got {found:?}"));
    }
    let warnings = response.get("warnings").and_then(Value::as_array).into_iter().flatten();
    let mut verdict =
        Verdict { warnings: warnings.filter_map(Value::as_str).map(str::to_owned).collect(), ..Verdict::default() };
    let (patch, patch_type) = (text(response, "patch"), text(response, "patchType"));
    if mutating {
        verdict.patch = read_patch(&patch, &patch_type, is_strict)?;
    } else if is_strict && !patch.is_empty() {
        return Err("validating webhook may not return response.patch".to_owned());
    } else if is_strict && !patch_type.is_empty() {
        return Err("validating webhook may not return response.patchType".to_owned());
    }
    if response.get("allowed").and_then(Value::as_bool) != Some(true) {
        verdict.denied = Some(denial(&hook.name, response.get("status").unwrap_or(&Value::Null)));
    }
    Ok(verdict)
}

fn read_patch(patch: &str, patch_type: &str, is_strict: bool) -> Result<Option<Value>, String> {
    match (patch.is_empty(), patch_type) {
        (true, "") => return Ok(None),
        (false, "") if is_strict => return Err("webhook returned response.patch but not response.patchType".to_owned()),
        (true, "JSONPatch") if is_strict => {
            return Err("webhook returned response.patchType but not response.patch".to_owned());
        }
        (true, _) if !is_strict => return Ok(None),
        (_, "JSONPatch") | (false, "") => {}
        (_, other) => return Err(format!("webhook returned invalid response.patchType of {other:?}")),
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(patch).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map(Some).map_err(|error| format!("unable to decode response.patch: {error}"))
}

fn denial(webhook: &str, result: &Value) -> Status {
    let text = |field: &str| result.get(field).and_then(Value::as_str).unwrap_or_default();
    let code = result.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok()).unwrap_or(0);
    let denied = format!("admission webhook {webhook:?} denied the request");
    let message = match (text("message"), text("reason")) {
        ("", "") => format!("{denied} without explanation"),
        ("", reason) => format!("{denied}: {reason}"),
        (message, _) => format!("{denied}: {message}"),
    };
    let mut status = Status::new(code.max(400), Reason(text("reason").to_owned().into()), message);
    status.details = result.get("details").and_then(|details| serde_json::from_value(details.clone()).ok());
    status
}
