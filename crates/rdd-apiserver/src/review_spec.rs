//! What reviews ask, read from their bodies.

use axum::body::Body;
use rdd_api::{FieldError, FieldErrorKind, Status, object};
use rdd_auth::{AccessRequest, UserInfo};
use rdd_registry::Kind;
use serde_json::{Map, Value, json};

use crate::body;
use crate::call::Call;

/// Reads the body of a kind that is stored nowhere. Fields that the kind does not know are dropped.
pub(crate) async fn read(call: &Call, sent: Body, kind: &Kind) -> Result<Value, Status> {
    let version = kind.storage_version();
    let bytes = body::read(sent).await?;
    let mut object = body::object(&call.headers, &bytes, &kind.kind, &version.name, version.message)?.value;
    let unhandled = |problem: &str| {
        let (kind, version) = (&kind.kind, &version.name);
        Status::bad_request(format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {problem}"))
    };
    if !object.is_object() {
        return Err(unhandled("it is no JSON object"));
    }
    let (group_version, own) = (object::api_version(&object), object::kind(&object));
    let wanted = kind.api_version(&version.name);
    if !group_version.is_empty() && group_version != wanted {
        return Err(Status::bad_request(format!(
            "the API version in the data ({group_version}) does not match the expected API version ({wanted})"
        )));
    }
    if !own.is_empty() && own != kind.kind {
        return Err(unhandled(&format!("no kind \"{own}\" is registered for this path")));
    }
    unwrap_extra(&mut object);
    rdd_schema::metadata::coerce(&object).map_err(|error| unhandled(&error.to_string()))?;
    version.schema.prune(&mut object);
    version.schema.drop_nulls_and_default(&mut object);
    let errors = version.schema.validate(&object, None);
    if let Some(error) = errors.iter().find(|error| error.kind == FieldErrorKind::TypeInvalid) {
        return Err(unhandled(&error.to_string()));
    }
    object["apiVersion"] = json!(wanted);
    object["kind"] = json!(kind.kind);
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    if !object["spec"].is_object() {
        object["spec"] = json!({});
    }
    Ok(object)
}

/// In protobuf each value of `extra` is a message around the list.
fn unwrap_extra(object: &mut Value) {
    let extra = object.pointer_mut("/spec/extra").and_then(Value::as_object_mut);
    for value in extra.into_iter().flat_map(Map::values_mut) {
        if value.is_object() {
            *value = value.get_mut("items").map(Value::take).unwrap_or_else(|| json!([]));
        }
    }
}

/// Returns the texts of a list.
pub(crate) fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Reads what a review asks about, and what is wrong with the question.
pub(crate) fn access(spec: &Value, errors: &mut Vec<FieldError>) -> AccessRequest {
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    if resource.is_object() && path.is_object() {
        let detail = "cannot be specified in combination with resourceAttributes";
        errors.push(FieldError::invalid("spec.nonResourceAttributes", path, detail));
    }
    if !resource.is_object() && !path.is_object() {
        let detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        errors.push(FieldError::invalid("spec.resourceAttributes", resource, detail));
    }
    let text = |part: &Value, key: &str| part[key].as_str().unwrap_or_default().to_owned();
    if path.is_object() {
        return AccessRequest::Path { verb: text(path, "verb"), path: text(path, "path") };
    }
    AccessRequest::Resource {
        verb: text(resource, "verb"),
        group: text(resource, "group"),
        version: text(resource, "version"),
        resource: text(resource, "resource"),
        subresource: text(resource, "subresource"),
        namespace: text(resource, "namespace"),
        name: text(resource, "name"),
    }
}

/// Reads whom a review asks about.
pub(crate) fn subject(spec: &Value, errors: &mut Vec<FieldError>) -> UserInfo {
    let text = |key: &str| spec[key].as_str().unwrap_or_default().to_owned();
    let extra = spec["extra"].as_object().into_iter().flatten();
    let user = UserInfo {
        name: text("user"),
        uid: text("uid"),
        groups: texts(&spec["groups"]),
        extra: extra.map(|(key, values)| (key.to_lowercase(), texts(values))).collect(),
    };
    if user.name.is_empty() && user.groups.is_empty() {
        let detail = "at least one of user or group must be specified";
        errors.push(FieldError::invalid("spec.user", &json!(""), detail));
    }
    user
}

/// Returns a user as answers tell them.
pub(crate) fn user_info(user: &UserInfo) -> Value {
    let mut info = json!({"username": user.name, "groups": user.groups});
    if !user.uid.is_empty() {
        info["uid"] = json!(user.uid);
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}
