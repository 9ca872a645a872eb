//! What requests say beside their object: targets, callers and options.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use rdd_admission::UserInfo;
use rdd_api::{FieldError, GroupKind, Status};
use rdd_registry::{Kind, Kinds, Scale, Version, builtin};
use rdd_schema::metadata;
use rdd_schema::protobuf::DELETE_OPTIONS;
use serde_json::{Value, json};

use crate::object::Object;

/// What a request is about: a kind at a version, and how much of it.
#[derive(Clone, Debug)]
pub struct Target {
    /// The kind.
    pub kind: Arc<Kind>,
    /// The version of the request.
    pub version: String,
    /// The namespace; `None` for kinds without, or for all namespaces.
    pub namespace: Option<String>,
    /// The object's name.
    pub name: Option<String>,
    /// The subresource, as in `status`.
    pub subresource: Option<String>,
}

impl Target {
    /// Finds a kind by its resource, if the version is served.
    pub fn find(kinds: &Kinds, group: &str, version: &str, resource: &str) -> Option<Self> {
        let (kind, version) = kinds.resource(group, version, resource)?;
        Some(Self { version: version.name.clone(), kind, namespace: None, name: None, subresource: None })
    }

    /// Sets the namespace; an empty one means none.
    #[must_use]
    pub fn in_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into()).filter(|n| !n.is_empty());
        self
    }

    /// Sets the name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the subresource.
    #[must_use]
    pub fn subresource(mut self, subresource: impl Into<String>) -> Self {
        self.subresource = Some(subresource.into());
        self
    }

    /// Returns the version's entry in the kind.
    pub fn version(&self) -> Result<&Version, Status> {
        self.kind.version(&self.version).ok_or_else(Status::no_such_path)
    }

    /// Returns the scale subresource, if that is what the target is.
    pub(crate) fn scale(&self) -> Option<&Scale> {
        let version = self.kind.version(&self.version)?;
        version.scale.as_ref().filter(|_| self.subresource.as_deref() == Some("scale"))
    }

    /// Returns the target as the objects of its requests and answers are: a Scale for the scale subresource, else
    /// itself.
    pub fn exchanged(&self) -> Cow<'_, Target> {
        if self.scale().is_none() {
            return Cow::Borrowed(self);
        }
        let kind = builtin::scale().clone();
        let version = kind.storage_version().name.clone();
        Cow::Owned(Target { kind, version, subresource: None, ..self.clone() })
    }

    /// Returns the name, or an empty one.
    pub(crate) fn name_text(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }
}

/// Who makes a request, and by which program.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// The user.
    pub user: UserInfo,
    /// The `User-Agent`; its part before the first `/` is the default field manager.
    pub user_agent: String,
}

impl Caller {
    /// Makes a caller that is a part of the server.
    pub fn system(name: &str) -> Self {
        Self { user: UserInfo::system_masters(name), user_agent: "rdd".to_owned() }
    }
}

/// What happens to fields that are unknown or stand twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// They are dropped.
    Ignore,
    /// They are dropped, with a warning each.
    #[default]
    Warn,
    /// They are refused.
    Strict,
}

impl FieldValidation {
    /// Reads the query parameter; an empty text is the default.
    pub fn parse(text: &str, options_kind: &str) -> Result<Self, Status> {
        match text {
            "" | "Warn" => Ok(Self::Warn),
            "Ignore" => Ok(Self::Ignore),
            "Strict" => Ok(Self::Strict),
            other => {
                let error = FieldError::not_supported("fieldValidation", &json!(other), &["Ignore", "Strict", "Warn"]);
                Err(Status::invalid(&options_group_kind(options_kind), "", &[error]))
            }
        }
    }
}

/// Reads the values of the `dryRun` parameter. `options_kind` is `CreateOptions` and the like.
pub fn parse_dry_run<S: AsRef<str>>(values: &[S], options_kind: &str) -> Result<bool, Status> {
    let values: Vec<&str> = values.iter().map(AsRef::as_ref).filter(|v| !v.is_empty()).collect();
    if values.iter().all(|v| *v == "All") {
        return Ok(!values.is_empty());
    }
    let error = FieldError::not_supported("dryRun", &json!(values), &["All"]);
    Err(Status::invalid(&options_group_kind(options_kind), "", &[error]))
}

/// The group and kind that errors about options carry, as in `ListOptions.meta.k8s.io`.
pub(crate) fn options_group_kind(kind: &str) -> GroupKind {
    GroupKind { group: "meta.k8s.io".to_owned(), kind: kind.to_owned() }
}

/// Options of create, update and patch.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// Do everything but store.
    pub dry_run: bool,
    /// Who the fields belong to; empty means the caller's program.
    pub field_manager: String,
    /// What to do about unknown fields.
    pub field_validation: FieldValidation,
    /// What the reader of the body found, as in `duplicate field "spec.a"`. Treated like unknown fields.
    pub decode_errors: Vec<String>,
    /// The refusal of an update or a patch that finds nothing and would create, for callers who may only change.
    pub may_not_create: Option<Status>,
}

/// Options of list. Texts are as in the query; the verbs check them.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// `labelSelector`.
    pub label_selector: String,
    /// `fieldSelector`.
    pub field_selector: String,
    /// `limit`; 0 means all.
    pub limit: u64,
    /// `continue`.
    pub continue_token: String,
    /// `resourceVersion`.
    pub resource_version: String,
    /// `resourceVersionMatch`.
    pub resource_version_match: String,
    /// `sendInitialEvents`; an error unless absent.
    pub send_initial_events: Option<bool>,
}

/// Options of watch. Texts are as in the query; the verbs check them.
#[derive(Clone, Debug, Default)]
pub struct WatchOptions {
    /// `labelSelector`.
    pub label_selector: String,
    /// `fieldSelector`.
    pub field_selector: String,
    /// `resourceVersion`.
    pub resource_version: String,
    /// `resourceVersionMatch`.
    pub resource_version_match: String,
    /// `allowWatchBookmarks`.
    pub bookmarks: bool,
    /// `sendInitialEvents`.
    pub send_initial_events: Option<bool>,
    /// `timeoutSeconds`; absent means half an hour to an hour.
    pub timeout: Option<Duration>,
}

/// Options of delete.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    /// Do everything but delete.
    pub dry_run: bool,
    /// `gracePeriodSeconds`: accepted, without effect, as no kind here has graceful deletion.
    pub grace_period_seconds: Option<i64>,
    /// `Orphan`, `Background` or `Foreground`.
    pub propagation_policy: Option<String>,
    /// The deprecated form of the above.
    pub orphan_dependents: Option<bool>,
    /// The uid that the object must have.
    pub uid: Option<String>,
    /// The resourceVersion that the object must have.
    pub resource_version: Option<String>,
}

impl DeleteOptions {
    /// Makes the options of a deletion that waits for no garbage collector, whatever the object's finalizers say.
    pub fn background() -> Self {
        Self { propagation_policy: Some("Background".to_owned()), ..Self::default() }
    }

    /// Reads a `DeleteOptions` body. A field of the wrong type is an error: whoever meant a dry run or a precondition must
    /// not find the object gone.
    pub fn from_json(body: &Value) -> Result<Self, Status> {
        let of_type = |field: &str| body.get(field).is_none_or(|value| value.is_string() || value.is_null());
        let kind = rdd_api::object::kind(body);
        if !body.is_object()
            || !of_type("kind")
            || !of_type("apiVersion")
            || !(kind.is_empty() || kind == "DeleteOptions")
        {
            return Err(Status::bad_request(format!(
                "the object provided is unrecognized (must be of type DeleteOptions): kind is {kind:?}"
            )));
        }
        metadata::check_types(&DELETE_OPTIONS, body).map_err(|error| {
            let text = format!("DeleteOptions in version \"v1\" cannot be handled as a DeleteOptions: {error}");
            Status::bad_request(text)
        })?;
        // Behind the check a value is of its type, or null.
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let dry_run = body.get("dryRun").and_then(Value::as_array).into_iter().flatten();
        let dry_run: Vec<&str> = dry_run.map(|value| value.as_str().unwrap_or_default()).collect();
        Ok(Self {
            dry_run: parse_dry_run(&dry_run, "DeleteOptions")?,
            grace_period_seconds: body.get("gracePeriodSeconds").and_then(Value::as_i64),
            propagation_policy: text(body.get("propagationPolicy")),
            orphan_dependents: body.get("orphanDependents").and_then(Value::as_bool),
            uid: text(body.pointer("/preconditions/uid")),
            resource_version: text(body.pointer("/preconditions/resourceVersion")),
        })
    }
}

/// A patch, parsed.
#[derive(Clone, Debug)]
pub enum Patch {
    /// `application/json-patch+json`.
    Json(Value),
    /// `application/merge-patch+json`.
    Merge(Value),
    /// `application/strategic-merge-patch+json`.
    Strategic(Value),
    /// `application/apply-patch+yaml`.
    Apply {
        /// The applied configuration.
        config: Value,
        /// Take fields over from other managers.
        force: bool,
    },
}

/// What a list answers.
#[derive(Clone, Debug, Default)]
pub struct List {
    /// The objects.
    pub items: Vec<Object>,
    /// The revision that all of them are of.
    pub revision: u64,
    /// How to go on; empty at the end.
    pub continue_token: String,
    /// How many are left, where that is known.
    pub remaining: Option<u64>,
}

/// What a write answers.
#[derive(Clone, Debug)]
pub struct Written {
    /// The object as stored.
    pub object: Object,
    /// Whether it was made by this request.
    pub created: bool,
    /// What to tell the caller, without quotes or escapes.
    pub warnings: Vec<String>,
}

/// What a delete answers.
#[derive(Clone, Debug)]
pub enum Deleted {
    /// The object, which stays until its finalizers are done; or which is gone, for kinds that return it.
    Object(Object),
    /// The object is gone.
    Gone {
        /// Its name.
        name: String,
        /// Its uid.
        uid: String,
    },
}

/// One event of a watch.
#[derive(Clone, Debug)]
pub enum WatchEvent {
    /// The object is new, or is newly seen by the selector.
    Added(Object),
    /// The object has changed.
    Modified(Object),
    /// The object is gone, or is no longer seen by the selector. The state is the last one, with the
    /// resourceVersion of its end.
    Deleted(Object),
    /// Everything up to `revision` was sent.
    Bookmark {
        /// The revision to go on from.
        revision: u64,
        /// Whether this ends the initial events.
        initial_events_end: bool,
    },
    /// The watch failed; it ends after this.
    Error(Status),
}

/// The events of a watch. It ends without an error when its time is over.
pub type WatchStream = BoxStream<'static, WatchEvent>;
