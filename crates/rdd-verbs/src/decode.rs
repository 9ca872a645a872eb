//! From a request's body to an object: the right kind, no unknown fields, defaults filled in.

use rdd_api::{FieldError, Status, object};
use rdd_registry::{Kind, Version};
use rdd_schema::metadata;
use serde_json::{Value, json};

use crate::options::{FieldValidation, Target, WriteOptions};

/// Objects that nest deeper are refused: readers of JSON, ours among them, stop at 128 levels, and lists, watches and
/// tables put a few around each object.
const MAX_DEPTH: usize = 120;
/// No more problems of one body are told than this, as upstream.
const MAX_PROBLEMS: usize = 100;

/// How a body came in; decides what an error about its fields looks like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A POST or a PUT.
    Body,
    /// The result of a patch.
    Patch,
}

/// Checks the type of the body, drops what is unknown and fills in defaults.
pub(crate) fn decode(
    target: &Target,
    body: &mut Value,
    source: Source,
    options: &WriteOptions,
    warnings: &mut Vec<String>,
) -> Result<(), Status> {
    let kind = &target.kind;
    let version = target.version()?;
    if !body.is_object() {
        return Err(Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): it is no JSON object",
            kind.kind
        )));
    }
    check_type(kind, version, body)?;
    check_shape(kind, version, body)?;
    let unknown = version.schema.prune(body);
    let found = unknown.iter().map(|path| format!("unknown field \"{path}\"")).chain(options.decode_errors.clone());
    report(kind, version, found.take(MAX_PROBLEMS).collect(), source, options.field_validation, warnings)?;
    version.schema.drop_nulls_and_default(body);
    Ok(())
}

/// Checks that every reader can read the object: how deep it is, and the types of what has one.
fn check_shape(kind: &Kind, version: &Version, object: &Value) -> Result<(), Status> {
    let unreadable = |why: &dyn std::fmt::Display| cannot_be_handled(kind, version, &why.to_string());
    if is_deeper(object, MAX_DEPTH) {
        return Err(unreadable(&format!("it nests deeper than {MAX_DEPTH} levels")));
    }
    metadata::coerce(object).map_err(|error| unreadable(&error))?;
    match version.message {
        Some(message) => metadata::check_types(message, object).map_err(|error| unreadable(&error)),
        None => Ok(()),
    }
}

/// Returns whether more arrays and objects lie in each other than that. Itself it goes no deeper.
fn is_deeper(value: &Value, levels: usize) -> bool {
    let below = |inner: &Value| levels == 0 || is_deeper(inner, levels - 1);
    match value {
        Value::Array(items) => levels == 0 || items.iter().any(below),
        Value::Object(fields) => levels == 0 || fields.values().any(below),
        _ => false,
    }
}

/// Repeats the end of decoding for an object that admission may have changed.
pub(crate) fn normalize(target: &Target, object: &mut Value) -> Result<(), Status> {
    let version = target.version()?;
    check_shape(&target.kind, version, object)?;
    version.schema.prune(object);
    version.schema.drop_nulls_and_default(object);
    Ok(())
}

fn check_type(kind: &Kind, version: &Version, body: &mut Value) -> Result<(), Status> {
    let expected = kind.api_version(&version.name);
    match object::api_version(body) {
        "" => body["apiVersion"] = json!(expected),
        found if found != expected => {
            return Err(Status::bad_request(format!(
                "the API version in the data ({found}) does not match the expected API version ({expected})"
            )));
        }
        _ => {}
    }
    match object::kind(body) {
        "" => body["kind"] = json!(kind.kind),
        found if found != kind.kind => {
            let text = format!("no kind \"{found}\" is registered for this path; expected \"{}\"", kind.kind);
            return Err(cannot_be_handled(kind, version, &text));
        }
        _ => {}
    }
    Ok(())
}

fn cannot_be_handled(kind: &Kind, version: &Version, why: &str) -> Status {
    let kind = &kind.kind;
    Status::bad_request(format!("{kind} in version \"{}\" cannot be handled as a {kind}: {why}", version.name))
}

fn report(
    kind: &Kind,
    version: &Version,
    found: Vec<String>,
    source: Source,
    validation: FieldValidation,
    warnings: &mut Vec<String>,
) -> Result<(), Status> {
    if found.is_empty() {
        return Ok(());
    }
    match validation {
        FieldValidation::Ignore => Ok(()),
        FieldValidation::Warn => {
            warnings.extend(found);
            Ok(())
        }
        FieldValidation::Strict => {
            let text = format!("strict decoding error: {}", found.join(", "));
            match source {
                Source::Body => Err(cannot_be_handled(kind, version, &text)),
                Source::Patch => {
                    let error = FieldError::invalid("patch", &json!("patch"), &text);
                    Err(Status::invalid(&kind.group_kind(), "", &[error]))
                }
            }
        }
    }
}

/// Checks that the body names the object of the URL. An absent namespace is filled in.
pub(crate) fn check_identity(target: &Target, body: &mut Value) -> Result<(), Status> {
    if let Some(name) = &target.name {
        let found = object::name(body);
        if found.is_empty() {
            object::metadata_mut(body).insert("name".to_owned(), json!(name));
        } else if found != name {
            return Err(Status::bad_request(format!(
                "the name of the object ({found}) does not match the name on the URL ({name})"
            )));
        }
    }
    let found = object::namespace(body).to_owned();
    match &target.namespace {
        Some(namespace) if found.is_empty() => {
            object::metadata_mut(body).insert("namespace".to_owned(), json!(namespace));
        }
        Some(namespace) if found != *namespace => {
            return Err(Status::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        Some(_) => {}
        None => {
            object::metadata_mut(body).remove("namespace");
        }
    }
    Ok(())
}
