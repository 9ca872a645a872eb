//! Request bodies: read up to the limit, and decode by media type.

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use rdd_api::Status;
use rdd_schema::protobuf::{self, DELETE_OPTIONS, Message};
use rdd_schema::{json, yaml};
use rdd_verbs::{DeleteOptions, Patch};
use serde_json::Value;

use crate::negotiate;
use crate::query::Query;

/// The largest body.
pub(crate) const LIMIT: usize = rdd_verbs::OBJECT_LIMIT;
/// How much more than that is read and thrown away, so that the client hears why.
const DRAINED: usize = 16 * 1024 * 1024;

const WITH_PROTOBUF: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
const WITHOUT_PROTOBUF: &str = "application/json, application/yaml";
const PATCHES: &str = "application/json-patch+json, application/merge-patch+json, \
                       application/strategic-merge-patch+json, application/apply-patch+yaml";
const CUSTOM_PATCHES: &str = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";

/// Reads a body whole.
pub(crate) async fn read(mut body: Body) -> Result<Bytes, Status> {
    match Limited::new(&mut body, LIMIT).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            // A client that still sends would find the connection closed instead of our answer.
            let mut rest = Limited::new(body, DRAINED);
            while let Some(Ok(_)) = rest.frame().await {}
            Err(Status::too_large(LIMIT))
        }
        Err(error) => Err(Status::bad_request(format!("the body of the request could not be read: {error}"))),
    }
}

/// An object as sent.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) value: Value,
    /// Fields that stand twice, as `duplicate field "spec.a"`.
    pub(crate) problems: Vec<String>,
}

/// Decodes an object. `kind` and `version` are those of the URL, for messages.
pub(crate) fn object(
    headers: &HeaderMap,
    bytes: &Bytes,
    kind: &str,
    version: &str,
    message: Option<&'static Message>,
) -> Result<Decoded, Status> {
    let unhandled = |error: &dyn std::fmt::Display| {
        Status::bad_request(format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {error}"))
    };
    match format(headers, bytes, message.is_some())? {
        Format::Json => {
            let decoded = json::parse(bytes).map_err(|error| unhandled(&error))?;
            let tell = |path: &String| format!("duplicate field \"{path}\"");
            Ok(Decoded { value: decoded.value, problems: decoded.duplicates.iter().map(tell).collect() })
        }
        Format::Yaml => {
            let text = utf8(bytes)?;
            let (value, strict) = yaml::parse_lenient(text).map_err(|error| unhandled(&chain(&error)))?;
            Ok(Decoded { value, problems: strict.iter().map(|error| chain(error)).collect() })
        }
        Format::Protobuf => {
            let message = message.ok_or_else(|| Status::unsupported_media_type(WITHOUT_PROTOBUF))?;
            let body = protobuf::decode_body(bytes).map_err(|error| unhandled(&chain(&error)))?;
            let value = body.decode(message).map_err(|error| unhandled(&chain(&error)))?;
            Ok(Decoded { value, problems: Vec::new() })
        }
    }
}

/// A patch as sent.
#[derive(Debug)]
pub(crate) struct DecodedPatch {
    pub(crate) patch: Patch,
    /// Fields that stand twice, as `duplicate field "spec.a"`.
    pub(crate) problems: Vec<String>,
}

/// Decodes a patch.
pub(crate) fn patch(headers: &HeaderMap, bytes: &Bytes, custom: bool, query: &Query) -> Result<DecodedPatch, Status> {
    let accepted = if custom { CUSTOM_PATCHES } else { PATCHES };
    let json = |make: fn(Value) -> Patch, what: &str| {
        let decoded =
            json::parse(bytes).map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
        let problems = decoded.duplicates.iter().map(|path| format!("{what}duplicate field \"{path}\"")).collect();
        Ok(DecodedPatch { patch: make(decoded.value), problems })
    };
    match negotiate::content_type(headers).as_deref() {
        // The paths of duplicates are the patch's own here, which upstream marks so.
        Some("application/json-patch+json") => json(Patch::Json, "json patch "),
        Some("application/merge-patch+json") => json(Patch::Merge, ""),
        Some("application/strategic-merge-patch+json") if !custom => json(Patch::Strategic, ""),
        Some("application/apply-patch+yaml") => {
            let force = query.flag("force");
            // Clients send JSON under this name, too, which is read sooner.
            if let Ok(decoded) = json::parse(bytes) {
                let problems = decoded.duplicates.iter().map(|path| format!("duplicate field \"{path}\"")).collect();
                return Ok(DecodedPatch { patch: Patch::Apply { config: decoded.value, force }, problems });
            }
            let (config, strict) = yaml::parse_lenient(utf8(bytes)?)
                .map_err(|error| Status::bad_request(format!("error decoding YAML: {}", chain(&error))))?;
            let problems = strict.iter().map(|error| chain(error)).collect();
            Ok(DecodedPatch { patch: Patch::Apply { config, force }, problems })
        }
        _ => Err(Status::unsupported_media_type(accepted)),
    }
}

/// Reads delete options: from the body, or from the query if there is none.
pub(crate) fn delete_options(headers: &HeaderMap, bytes: &Bytes, query: &Query) -> Result<DeleteOptions, Status> {
    if bytes.is_empty() {
        let dry_run: Vec<&str> = query.all("dryRun").collect();
        return Ok(DeleteOptions {
            dry_run: rdd_verbs::parse_dry_run(&dry_run, "DeleteOptions")?,
            grace_period_seconds: query.number("gracePeriodSeconds")?,
            propagation_policy: query.text("propagationPolicy").map(str::to_owned),
            orphan_dependents: query.optional_flag("orphanDependents"),
            ..DeleteOptions::default()
        });
    }
    let decoded = object(headers, bytes, "DeleteOptions", "v1", Some(&DELETE_OPTIONS))?;
    let mut options = DeleteOptions::from_json(&decoded.value)?;
    let dry_run: Vec<&str> = query.all("dryRun").collect();
    options.dry_run |= rdd_verbs::parse_dry_run(&dry_run, "DeleteOptions")?;
    Ok(options)
}

enum Format {
    Json,
    Yaml,
    Protobuf,
}

fn format(headers: &HeaderMap, bytes: &Bytes, protobuf_known: bool) -> Result<Format, Status> {
    match negotiate::content_type(headers).as_deref() {
        // Old kubectl sends no media type with some bodies.
        None if protobuf::is_protobuf(bytes) => Ok(Format::Protobuf),
        None | Some("application/json" | "*/*") => Ok(Format::Json),
        Some("application/yaml" | "application/x-yaml" | "text/yaml") => Ok(Format::Yaml),
        Some("application/vnd.kubernetes.protobuf") if protobuf_known => Ok(Format::Protobuf),
        Some(_) => Err(Status::unsupported_media_type(if protobuf_known { WITH_PROTOBUF } else { WITHOUT_PROTOBUF })),
    }
}

fn utf8(bytes: &Bytes) -> Result<&str, Status> {
    std::str::from_utf8(bytes).map_err(|error| Status::bad_request(format!("the body is not UTF-8: {error}")))
}

/// Prints an error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut at = error.source();
    while let Some(cause) = at {
        text.push_str(&format!(": {cause}"));
        at = cause.source();
    }
    text
}
