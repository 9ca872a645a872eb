//! `Status`: the API's error object, and the success object of a delete.
//!
//! Wire format: `k8s.io/apimachinery/pkg/apis/meta/v1` `Status`. Messages are those
//! of `k8s.io/apimachinery/pkg/api/errors`, which clients and scripts parse
//! (apiserver specification §8).

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::field::FieldError;
use crate::names::{GroupKind, GroupResource};

/// The machine-readable reason of a `Status`.
///
/// Not an enumeration: webhooks and newer servers send reasons of their own, which pass through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reason(pub std::borrow::Cow<'static, str>);

macro_rules! reasons {
    ($($name:ident = $text:literal),* $(,)?) => {
        impl Reason {
            $(#[doc = concat!("The reason `", $text, "`.")] pub const $name: Reason = Reason(std::borrow::Cow::Borrowed($text));)*
        }
    };
}

reasons! {
    UNKNOWN = "",
    UNAUTHORIZED = "Unauthorized",
    FORBIDDEN = "Forbidden",
    NOT_FOUND = "NotFound",
    ALREADY_EXISTS = "AlreadyExists",
    CONFLICT = "Conflict",
    GONE = "Gone",
    EXPIRED = "Expired",
    INVALID = "Invalid",
    TIMEOUT = "Timeout",
    TOO_MANY_REQUESTS = "TooManyRequests",
    BAD_REQUEST = "BadRequest",
    METHOD_NOT_ALLOWED = "MethodNotAllowed",
    NOT_ACCEPTABLE = "NotAcceptable",
    REQUEST_ENTITY_TOO_LARGE = "RequestEntityTooLarge",
    UNSUPPORTED_MEDIA_TYPE = "UnsupportedMediaType",
    INTERNAL_ERROR = "InternalError",
    SERVICE_UNAVAILABLE = "ServiceUnavailable",
}

/// One cause of a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The machine-readable cause, as in `FieldValueInvalid`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The text, without the field.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The field's path.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// What a `Status` is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusDetails {
    /// The object's name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The API group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The *plural resource*, but the kind for [`Reason::INVALID`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The object's UID.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Single causes, one per field error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// When to try again, in seconds; also sent as the `Retry-After` header.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retry_after_seconds: u32,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// A failure as the API tells it.
///
/// This is the error type of every verb: HTTP handlers print it, in-process callers match on
/// [`Status::code`] and [`Status::reason`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The HTTP status code.
    pub code: u16,
    /// The machine-readable reason.
    pub reason: Reason,
    /// The text for people.
    pub message: String,
    /// What it is about. Boxed, so that a `Result` stays small.
    pub details: Option<Box<StatusDetails>>,
    /// For 410 on a paged list: the token that goes on with an inconsistent list.
    pub continue_token: Option<String>,
}

impl Status {
    /// A failure without details.
    pub fn new(code: u16, reason: Reason, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: None, continue_token: None }
    }

    fn about(code: u16, reason: Reason, resource: &GroupResource, name: &str, message: String) -> Self {
        let details = StatusDetails {
            name: name.to_owned(),
            group: resource.group.clone(),
            kind: resource.resource.clone(),
            ..StatusDetails::default()
        };
        Self { code, reason, message, details: Some(Box::new(details)), continue_token: None }
    }

    /// 404: the object is not there.
    pub fn not_found(resource: &GroupResource, name: &str) -> Self {
        Self::about(404, Reason::NOT_FOUND, resource, name, format!("{resource} \"{name}\" not found"))
    }

    /// 404: no such path.
    pub fn no_such_path() -> Self {
        let mut status = Self::new(404, Reason::NOT_FOUND, "the server could not find the requested resource");
        status.details = Some(Box::default());
        status
    }

    /// 409: the name is taken.
    pub fn already_exists(resource: &GroupResource, name: &str) -> Self {
        Self::about(409, Reason::ALREADY_EXISTS, resource, name, format!("{resource} \"{name}\" already exists"))
    }

    /// 409: somebody else changed the object, or a precondition does not hold.
    pub fn conflict(resource: &GroupResource, name: &str, cause: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {resource} \"{name}\": {cause}");
        Self::about(409, Reason::CONFLICT, resource, name, message)
    }

    /// 409: the request carries an old `resourceVersion`.
    pub fn modified(resource: &GroupResource, name: &str) -> Self {
        let cause = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, cause)
    }

    /// 403: this may not be done.
    pub fn forbidden(resource: &GroupResource, name: &str, cause: &str) -> Self {
        let message = if name.is_empty() {
            format!("{resource} is forbidden: {cause}")
        } else {
            format!("{resource} \"{name}\" is forbidden: {cause}")
        };
        Self::about(403, Reason::FORBIDDEN, resource, name, message)
    }

    /// 422: the object is invalid; one cause per error.
    pub fn invalid(kind: &GroupKind, name: &str, errors: &[FieldError]) -> Self {
        let causes = errors
            .iter()
            .map(|e| Cause {
                reason: e.kind.reason().to_owned(),
                message: e.message.clone(),
                field: if e.field.is_empty() { "<nil>".to_owned() } else { e.field.clone() },
            })
            .collect();
        let mut texts: Vec<String> = Vec::with_capacity(errors.len());
        for error in errors {
            let text = error.to_string();
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let list = if texts.len() == 1 { texts.remove(0) } else { format!("[{}]", texts.join(", ")) };
        let details = StatusDetails {
            name: name.to_owned(),
            group: kind.group.clone(),
            kind: kind.kind.clone(),
            causes,
            ..StatusDetails::default()
        };
        Self {
            code: 422,
            reason: Reason::INVALID,
            message: format!("{kind} \"{name}\" is invalid: {list}"),
            details: Some(Box::new(details)),
            continue_token: None,
        }
    }

    /// 400: the request cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, Reason::BAD_REQUEST, message)
    }

    /// 401: no valid credentials.
    pub fn unauthorized() -> Self {
        Self::new(401, Reason::UNAUTHORIZED, "Unauthorized")
    }

    /// 405: the resource does not support this verb.
    pub fn method_not_supported(resource: &GroupResource, verb: &str) -> Self {
        let message = format!("{verb} is not supported on resources of kind \"{resource}\"");
        Self::about(405, Reason::METHOD_NOT_ALLOWED, resource, "", message)
    }

    /// 406: none of the asked-for media types can be produced.
    pub fn not_acceptable(accepted: &str) -> Self {
        Self::new(406, Reason::NOT_ACCEPTABLE, format!("only the following media types are accepted: {accepted}"))
    }

    /// 410: the revision asked for is compacted.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, Reason::EXPIRED, message)
    }

    /// 413: the body is over `limit` bytes.
    pub fn too_large(limit: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit}");
        Self::new(413, Reason::REQUEST_ENTITY_TOO_LARGE, message)
    }

    /// 415: the body's media type is not one of `accepted`.
    pub fn unsupported_media_type(accepted: &str) -> Self {
        let message =
            format!("the body of the request was in an unknown format - accepted media types include: {accepted}");
        Self::new(415, Reason::UNSUPPORTED_MEDIA_TYPE, message)
    }

    /// 500: our own failure.
    pub fn internal(error: impl fmt::Display) -> Self {
        let message = format!("Internal error occurred: {error}");
        let mut status = Self::new(500, Reason::INTERNAL_ERROR, message);
        let cause = Cause { message: error.to_string(), ..Cause::default() };
        status.details = Some(Box::new(StatusDetails { causes: vec![cause], ..StatusDetails::default() }));
        status
    }

    /// 503: not now; try again after `seconds`.
    pub fn unavailable(message: impl Into<String>, seconds: u32) -> Self {
        let mut status = Self::new(503, Reason::SERVICE_UNAVAILABLE, message);
        status.details = Some(Box::new(StatusDetails { retry_after_seconds: seconds, ..StatusDetails::default() }));
        status
    }

    /// 504: a revision from the future was asked for.
    pub fn revision_too_large(requested: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {requested}, current: {current}");
        let mut status = Self::new(504, Reason::TIMEOUT, message);
        let cause = Cause {
            reason: "ResourceVersionTooLarge".into(),
            message: "Too large resource version".into(),
            field: String::new(),
        };
        status.details =
            Some(Box::new(StatusDetails { causes: vec![cause], retry_after_seconds: 1, ..StatusDetails::default() }));
        status
    }

    /// Adds a cause.
    #[must_use]
    pub fn with_cause(mut self, cause: Cause) -> Self {
        self.details.get_or_insert_default().causes.push(cause);
        self
    }

    /// Returns whether the reason is `reason`.
    pub fn is(&self, reason: &Reason) -> bool {
        self.reason == *reason
    }

    /// Returns the seconds after which to try again, if the failure says so.
    pub fn retry_after(&self) -> Option<u32> {
        self.details.as_ref().map(|d| d.retry_after_seconds).filter(|s| *s > 0)
    }

    /// Returns the wire form.
    pub fn to_json(&self) -> Value {
        let mut metadata = json!({});
        if let Some(token) = &self.continue_token {
            metadata["continue"] = json!(token);
        }
        let mut out = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": metadata, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.reason.0.is_empty() {
            out["reason"] = json!(self.reason);
        }
        if let Some(details) = &self.details {
            out["details"] = json!(details);
        }
        out
    }

    /// Reads the wire form, as a client does; fields that are missing stay empty.
    pub fn from_json(value: &Value) -> Option<Self> {
        if value.get("kind").and_then(Value::as_str) != Some("Status") {
            return None;
        }
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(Self {
            code: value.get("code").and_then(Value::as_u64).and_then(|c| u16::try_from(c).ok()).unwrap_or_default(),
            reason: Reason(text("reason").into()),
            message: text("message"),
            details: value.get("details").and_then(|d| serde_json::from_value(d.clone()).ok()),
            continue_token: value.pointer("/metadata/continue").and_then(Value::as_str).map(str::to_owned),
        })
    }

    /// Returns the `Status` that a finished delete answers with.
    pub fn deleted(resource: &GroupResource, name: &str, uid: &str) -> Value {
        let details = StatusDetails {
            name: name.to_owned(),
            group: resource.group.clone(),
            kind: resource.resource.clone(),
            uid: uid.to_owned(),
            ..StatusDetails::default()
        };
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}
