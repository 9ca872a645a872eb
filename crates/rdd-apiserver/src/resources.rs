//! Requests for API objects: from HTTP to a verb, and back.

use std::time::Duration;

use axum::body::Body;
use http::Method;
use rdd_api::{FieldError, GroupKind, GroupResource, Status, object};
use rdd_verbs::{
    Deleted, FieldValidation, List, ListOptions, Object, Patch, Target, WatchOptions, WriteOptions, Written,
};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::body;
use crate::call::Call;
use crate::form::{Form, Include};
use crate::listing::Listing;
use crate::negotiate::{self, Agreed, Encoding, Transform};
use crate::pieces::Pieces;
use crate::query::Query;
use crate::request_info::ResourcePath;
use crate::{reviews, token_requests, watch_stream};

/// Up to about this many bytes YAML is printed where it is asked for, in well under 10 ms.
const QUICK_YAML: usize = 64 * 1024;

/// Answers a request for API objects.
pub(crate) async fn handle(call: &Call, sent: Body, path: &ResourcePath, verb: &str) -> Result<Answer, Status> {
    if !matches!(call.method, Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::PATCH | Method::DELETE)
    {
        return Err(Status::method_not_supported(
            &GroupResource::new(&*path.group, &*path.resource),
            call.method.as_str(),
        ));
    }
    let target = target(call, path, verb)?;
    if !target.kind.is_stored() {
        return reviews::handle(call, sent, &target).await;
    }
    if target.subresource.as_deref() == Some("token") {
        return token_requests::handle(call, sent, &target).await;
    }
    let deprecated: Vec<String> = target.version()?.deprecated.iter().cloned().collect();
    let agreed = negotiate::agree(&call.headers, call.query.optional_flag("pretty"))?;
    let form = Form {
        transform: agreed.transform,
        include: Include::parse(&call.query)?,
        version: target.exchanged().version()?.clone(),
        now: call.shared.verbs.clock().now(),
    };
    let answer = match verb {
        "get" => get(call, &target, agreed, &form).await,
        "list" => list(call, &target, agreed, form).await,
        "watch" => watch(call, path, &target, agreed, form).await,
        "create" | "update" => write(call, sent, &target, verb, agreed, &form).await,
        "patch" => patch(call, sent, &target, agreed, &form).await,
        "delete" => delete(call, sent, &target, agreed, &form).await,
        _ => delete_collection(call, sent, &target, agreed, form).await,
    };
    // Also with a refusal, as upstream: who writes at an old version should hear of it before it works.
    Ok(answer.unwrap_or_else(|status| Answer::status(&status)).with_warnings(&deprecated))
}

/// Finds what a URL names; 404 and 405 where there is nothing, or nothing to be done that way.
fn target(call: &Call, path: &ResourcePath, verb: &str) -> Result<Target, Status> {
    let kinds = call.shared.verbs.registry().kinds();
    let mut target =
        Target::find(&kinds, &path.group, &path.version, &path.resource).ok_or_else(Status::no_such_path)?;
    let kind = target.kind.clone();
    let resource = kind.group_resource();
    let of_namespace = kind.is_core("namespaces");
    if !kind.is_namespaced() && !path.namespace.is_empty() && !of_namespace {
        return Err(Status::no_such_path());
    }
    // Below a namespace there is that one only: roles in it must not open the others.
    if of_namespace && !path.namespace.is_empty() && path.name != path.namespace {
        return Err(Status::no_such_path());
    }
    let placeless = kind.is_namespaced() && path.namespace.is_empty();
    if placeless && !path.name.is_empty() && !path.watch_prefix {
        return Err(Status::no_such_path());
    }
    if !path.subresource.is_empty() && !offers(&target, &path.subresource, verb)? {
        return Err(Status::not_found(&resource, &path.name));
    }
    let misplaced = match verb {
        "create" => placeless || (!path.name.is_empty() && path.subresource.is_empty()),
        "update" | "patch" => path.name.is_empty(),
        "deletecollection" => placeless,
        _ => false,
    };
    if misplaced || (path.subresource.is_empty() && !kind.supports(verb)) {
        return Err(Status::method_not_supported(&resource, verb));
    }
    if kind.is_namespaced() {
        target = target.in_namespace(&path.namespace);
    }
    if !path.name.is_empty() && !path.watch_prefix {
        target = target.named(&path.name);
    }
    if !path.subresource.is_empty() {
        target = target.subresource(&path.subresource);
    }
    Ok(target)
}

/// Returns whether a kind has a subresource; 405 if it has, but not with this verb.
fn offers(target: &Target, subresource: &str, verb: &str) -> Result<bool, Status> {
    let version = target.version()?;
    let writable = ["get", "update", "patch"].as_slice();
    let verbs = match subresource {
        "status" if version.status_subresource => writable,
        "scale" if version.scale.is_some() => writable,
        other => match target.kind.subresources.iter().find(|(name, _)| *name == other) {
            Some((_, verbs)) => verbs.as_slice(),
            None => return Ok(false),
        },
    };
    if verbs.contains(&verb) {
        return Ok(true);
    }
    let full = format!("{}/{subresource}", target.kind.resource);
    Err(Status::method_not_supported(&GroupResource::new(target.kind.group.clone(), full), verb))
}

async fn get(call: &Call, target: &Target, agreed: Agreed, form: &Form) -> Result<Answer, Status> {
    let revision = call.query.get("resourceVersion").unwrap_or_default();
    let object = call.shared.verbs.get_not_older(target, revision).await?;
    one(call, 200, &object, agreed, form).await
}

async fn list(call: &Call, target: &Target, agreed: Agreed, form: Form) -> Result<Answer, Status> {
    let found = call.shared.verbs.list(target, &list_options(&call.query)?).await?;
    many(call, target, found, agreed, form)
}

async fn watch(
    call: &Call,
    path: &ResourcePath,
    target: &Target,
    agreed: Agreed,
    form: Form,
) -> Result<Answer, Status> {
    let query = &call.query;
    let text = |name: &str| query.get(name).unwrap_or_default().to_owned();
    let timeout = query.number("timeoutSeconds")?.and_then(|s| u64::try_from(s).ok()).filter(|s| *s > 0);
    let mut options = WatchOptions {
        label_selector: text("labelSelector"),
        field_selector: text("fieldSelector"),
        resource_version: text("resourceVersion"),
        resource_version_match: text("resourceVersionMatch"),
        bookmarks: query.flag("allowWatchBookmarks"),
        send_initial_events: query.optional_flag("sendInitialEvents"),
        timeout: timeout.map(Duration::from_secs),
    };
    // The deprecated form of a watch on one object.
    if path.watch_prefix && !path.name.is_empty() {
        options.field_selector = format!("metadata.name={}", path.name);
    }
    let events = call.shared.verbs.watch(target, &options).await?;
    let writer = watch_stream::Writer {
        form,
        encoding: agreed.encoding,
        api_version: target.kind.api_version(&target.version),
        kind: target.kind.kind.clone(),
        clock: call.shared.verbs.clock().clone(),
        told_columns: false,
    };
    let body = watch_stream::body(events, writer, call.shared.clone(), call.stop.clone());
    Ok(Answer::stream(agreed.encoding.content_type(), body))
}

async fn write(
    call: &Call,
    sent: Body,
    target: &Target,
    verb: &str,
    agreed: Agreed,
    form: &Form,
) -> Result<Answer, Status> {
    let options_kind = if verb == "create" { "CreateOptions" } else { "UpdateOptions" };
    let mut options = write_options(&call.query, options_kind)?;
    let bytes = body::read(sent).await?;
    let sent = target.exchanged();
    let decoded = body::object(&call.headers, &bytes, &sent.kind.kind, &sent.version, form.version.message)?;
    options.decode_errors = decoded.problems;
    options.may_not_create.clone_from(&call.may_not_create);
    let verbs = &call.shared.verbs;
    let written = match verb {
        "create" => verbs.create(&call.caller, target, decoded.value, &options).await?,
        _ => verbs.update(&call.caller, target, decoded.value, &options).await?,
    };
    wrote(call, &written, agreed, form).await
}

async fn patch(call: &Call, sent: Body, target: &Target, agreed: Agreed, form: &Form) -> Result<Answer, Status> {
    let mut options = write_options(&call.query, "PatchOptions")?;
    let bytes = body::read(sent).await?;
    let decoded = body::patch(&call.headers, &bytes, target.kind.custom.is_some(), &call.query)?;
    options.decode_errors = decoded.problems;
    if call.query.get("force").is_some() && !matches!(decoded.patch, Patch::Apply { .. }) {
        let error = FieldError::forbidden("force", "may not be specified for non-apply patch");
        let kind = GroupKind { group: "meta.k8s.io".to_owned(), kind: "PatchOptions".to_owned() };
        return Err(Status::invalid(&kind, "", &[error]));
    }
    options.may_not_create.clone_from(&call.may_not_create);
    let written = call.shared.verbs.patch(&call.caller, target, decoded.patch, &options).await?;
    wrote(call, &written, agreed, form).await
}

async fn delete(call: &Call, sent: Body, target: &Target, agreed: Agreed, form: &Form) -> Result<Answer, Status> {
    let bytes = body::read(sent).await?;
    let options = body::delete_options(&call.headers, &bytes, &call.query)?;
    match call.shared.verbs.delete(&call.caller, target, &options).await? {
        // Who still uses the deprecated option is told by the code that the object waits for something.
        Deleted::Object(object) if options.orphan_dependents == Some(false) && object::is_terminating(&object) => {
            one(call, 202, &object, agreed, form).await
        }
        Deleted::Object(object) => one(call, 200, &object, agreed, form).await,
        Deleted::Gone { name, uid } => {
            let status = Status::deleted(&target.kind.group_resource(), &name, &uid);
            Ok(Answer::value(200, &status, agreed))
        }
    }
}

async fn delete_collection(
    call: &Call,
    sent: Body,
    target: &Target,
    agreed: Agreed,
    form: Form,
) -> Result<Answer, Status> {
    let list = list_options(&call.query)?;
    let bytes = body::read(sent).await?;
    let options = body::delete_options(&call.headers, &bytes, &call.query)?;
    let deleted = call.shared.verbs.delete_collection(&call.caller, target, &options, &list).await?;
    many(call, target, deleted, agreed, form)
}

async fn one(call: &Call, code: u16, object: &Object, agreed: Agreed, form: &Form) -> Result<Answer, Status> {
    if agreed.encoding == Encoding::Yaml && is_heavy(std::iter::once(&**object)) {
        let (object, form) = (object.clone(), form.clone());
        let print = move || value(code, &object, agreed, &form);
        return call.shared.printers.run(print).await;
    }
    value(code, object, agreed, form)
}

fn value(code: u16, object: &Object, agreed: Agreed, form: &Form) -> Result<Answer, Status> {
    if agreed.transform == Transform::None {
        return Ok(Answer::value(code, object, agreed));
    }
    Ok(Answer::value(code, &form.one(object)?, agreed))
}

async fn wrote(call: &Call, written: &Written, agreed: Agreed, form: &Form) -> Result<Answer, Status> {
    let code = if written.created { 201 } else { 200 };
    Ok(one(call, code, &written.object, agreed, form).await?.with_warnings(&written.warnings))
}

fn many(call: &Call, target: &Target, list: List, agreed: Agreed, form: Form) -> Result<Answer, Status> {
    let mut metadata = json!({"resourceVersion": list.revision.to_string()});
    if !list.continue_token.is_empty() {
        metadata["continue"] = json!(list.continue_token);
        if let Some(remaining) = list.remaining {
            metadata["remainingItemCount"] = json!(remaining);
        }
    }
    let api_version = target.kind.api_version(&target.version);
    let plain = json!({"kind": target.kind.list_kind, "apiVersion": api_version, "metadata": metadata});
    let is_slow = agreed.encoding == Encoding::Yaml && is_heavy(list.items.iter().map(|object| &**object));
    let listing = Listing::new(form, agreed, plain, list.items)?;
    let pieces = if is_slow { Pieces::slow(listing, call.shared.printers.clone()) } else { Pieces::quick(listing) };
    Ok(Answer::pieces(agreed.encoding.content_type(), pieces))
}

/// Returns whether values are too large together for printing YAML on a thread that others wait for.
fn is_heavy<'a>(values: impl Iterator<Item = &'a Value>) -> bool {
    // Each value takes at least one byte, so the walk ends.
    fn spend(value: &Value, left: usize) -> Option<usize> {
        let left = left.checked_sub(1)?;
        match value {
            Value::String(text) => left.checked_sub(text.len()),
            Value::Array(items) => items.iter().try_fold(left, |left, item| spend(item, left)),
            Value::Object(map) => {
                map.iter().try_fold(left, |left, (key, value)| spend(value, left.checked_sub(key.len())?))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Some(left),
        }
    }
    let mut values = values;
    values.try_fold(QUICK_YAML, |left, value| spend(value, left)).is_none()
}

fn list_options(query: &Query) -> Result<ListOptions, Status> {
    let text = |name: &str| query.get(name).unwrap_or_default().to_owned();
    Ok(ListOptions {
        label_selector: text("labelSelector"),
        field_selector: text("fieldSelector"),
        limit: query.number("limit")?.and_then(|limit| u64::try_from(limit).ok()).unwrap_or_default(),
        continue_token: text("continue"),
        resource_version: text("resourceVersion"),
        resource_version_match: text("resourceVersionMatch"),
        send_initial_events: query.optional_flag("sendInitialEvents"),
    })
}

fn write_options(query: &Query, options_kind: &str) -> Result<WriteOptions, Status> {
    let dry_run: Vec<&str> = query.all("dryRun").collect();
    let field_manager = query.get("fieldManager").unwrap_or_default().to_owned();
    rdd_verbs::check_field_manager(&field_manager, options_kind)?;
    Ok(WriteOptions {
        dry_run: rdd_verbs::parse_dry_run(&dry_run, options_kind)?,
        field_manager,
        field_validation: FieldValidation::parse(query.get("fieldValidation").unwrap_or_default(), options_kind)?,
        decode_errors: Vec::new(),
        may_not_create: None,
    })
}
