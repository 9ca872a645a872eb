//! Questions about oneself: may I (`kubectl auth can-i`), and who am I (`kubectl auth whoami`).
//!
//! They are created, answered and forgotten: no object of theirs is stored, so the registry does
//! not know them.

use axum::body::Body;
use rdd_api::{GroupResource, Status};
use rdd_auth::{AccessRequest, Decision};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::body;
use crate::call::Call;
use crate::review_kinds::{Review, VERSION};

/// Answers a question.
pub(crate) async fn handle(call: &Call, sent: Body, verb: &str, review: &Review) -> Result<Answer, Status> {
    if verb != "create" {
        return Err(Status::method_not_supported(&GroupResource::new(review.group, review.resource), verb));
    }
    let bytes = body::read(sent).await?;
    let mut object = body::object(&call.headers, &bytes, review.kind, VERSION, Some(review.message))?.value;
    if !object.is_object() {
        return Err(Status::bad_request(format!("{} must be an object", review.kind)));
    }
    object["apiVersion"] = json!(format!("{}/{VERSION}", review.group));
    object["kind"] = json!(review.kind);
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    object["status"] = match review.kind {
        "SelfSubjectReview" => {
            let user = &call.caller.user;
            let mut info = json!({"username": user.name, "groups": user.groups});
            if !user.uid.is_empty() {
                info["uid"] = json!(user.uid);
            }
            if !user.extra.is_empty() {
                info["extra"] = json!(user.extra);
            }
            json!({"userInfo": info})
        }
        _ => match call.shared.authorizer.authorize(&call.caller.user, &access(&object["spec"])?).await {
            Decision::Allow { reason } => json!({"allowed": true, "reason": reason}),
            Decision::Deny { reason } => json!({"allowed": false, "reason": reason}),
        },
    };
    Ok(Answer::json(201, &object, false))
}

/// Reads the spec of a `SelfSubjectAccessReview`.
fn access(spec: &Value) -> Result<AccessRequest, Status> {
    let text = |part: &Value, key: &str| part[key].as_str().unwrap_or_default().to_owned();
    match (&spec["resourceAttributes"], &spec["nonResourceAttributes"]) {
        (part @ Value::Object(_), Value::Null) => Ok(AccessRequest::Resource {
            verb: text(part, "verb"),
            group: text(part, "group"),
            version: text(part, "version"),
            resource: text(part, "resource"),
            subresource: text(part, "subresource"),
            namespace: text(part, "namespace"),
            name: text(part, "name"),
        }),
        (Value::Null, part @ Value::Object(_)) => {
            Ok(AccessRequest::Path { verb: text(part, "verb"), path: text(part, "path") })
        }
        _ => Err(Status::bad_request("exactly one of nonResourceAttributes or resourceAttributes must be specified")),
    }
}
