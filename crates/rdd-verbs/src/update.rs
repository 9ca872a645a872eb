//! Update and patch: from the stored object to the next one, again if somebody else was quicker.

use std::sync::Arc;
use std::time::Duration;

use rdd_admission::{Admit, Attributes, Operation};
use rdd_api::{FieldError, GroupKind, Reason, Status, object};
use rdd_store::{Entry, Expect, WriteError};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::create::{attributes, deprecation, is_crd};
use crate::decode::{Source, check_identity, decode, normalize};
use crate::managed::{self, Owner};
use crate::object::Object;
use crate::options::{Caller, FieldValidation, Patch, Target, WriteOptions, Written, options_group_kind};
use crate::patch;
use crate::verbs::{Verbs, key, store_failure};
use crate::{list, metadata, scale, validate, view};

/// How long a write tries to be the quicker one: as long as a client waits for it.
const PATIENCE: Duration = Duration::from_secs(34);

/// What the caller wants done to the stored object.
pub(crate) enum Change {
    /// A whole object, decoded.
    Replace(Value),
    /// A patch.
    Patch(Patch),
}

/// How one attempt ended.
enum Attempt {
    /// The object is as wanted.
    Done(Object),
    /// Somebody else wrote in between.
    Lost,
}

impl Verbs {
    pub(crate) async fn update_object(
        &self,
        caller: &Caller,
        target: &Target,
        body: Value,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        check_target(target, "update")?;
        let mut warnings = deprecation(target)?;
        let mut body = body;
        decode(&target.exchanged(), &mut body, Source::Body, options, &mut warnings)?;
        check_identity(target, &mut body)?;
        self.change(caller, target, Change::Replace(body), options, warnings).await
    }

    pub(crate) async fn patch_object(
        &self,
        caller: &Caller,
        target: &Target,
        patch: Patch,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        check_target(target, "patch")?;
        match &patch {
            Patch::Strategic(_) if target.kind.custom.is_some() => {
                return Err(Status::unsupported_media_type(
                    "application/json-patch+json, application/merge-patch+json",
                ));
            }
            Patch::Apply { config, .. } => {
                if options.field_manager.is_empty() {
                    let error = FieldError::required("fieldManager", "is required for apply patch");
                    return Err(Status::invalid(&options_group_kind("PatchOptions"), "", &[error]));
                }
                managed::check_config(&target.exchanged(), config)?;
                check_identity(target, &mut config.clone())?;
            }
            _ => {}
        }
        let mut warnings = deprecation(target)?;
        if matches!(patch, Patch::Apply { .. }) && !options.decode_errors.is_empty() {
            // What stands twice is told of the configuration; the object that it makes has none of it.
            match options.field_validation {
                FieldValidation::Ignore => {}
                FieldValidation::Warn => warnings.extend(options.decode_errors.iter().cloned()),
                FieldValidation::Strict => {
                    let found = options.decode_errors.join(", ");
                    return Err(Status::bad_request(format!("error strict decoding patch: {found}")));
                }
            }
            let options = WriteOptions { decode_errors: Vec::new(), ..options.clone() };
            return self.change(caller, target, Change::Patch(patch), &options, warnings).await;
        }
        self.change(caller, target, Change::Patch(patch), options, warnings).await
    }

    pub(crate) async fn change(
        &self,
        caller: &Caller,
        target: &Target,
        change: Change,
        options: &WriteOptions,
        mut warnings: Vec<String>,
    ) -> Result<Written, Status> {
        let kind = &target.kind;
        let mut lock = match is_crd(kind) {
            true => Some(self.custom_kinds_lock().lock().await),
            false => None,
        };
        let key = key(target, target.name_text());
        let started = Instant::now();
        let object = loop {
            // Somebody who writes whenever we ask, as a webhook may, would keep this going for ever.
            if started.elapsed() > PATIENCE {
                return Err(out_of_time());
            }
            let Some(entry) = self.store().snapshot().get(&key) else {
                if let Change::Replace(body) = &change
                    && kind.manners.create_on_update
                    && target.subresource.is_none()
                {
                    check_nothing_expected(target, body)?;
                    if let Some(status) = &options.may_not_create {
                        return Err(status.clone());
                    }
                    let mut body = body.clone();
                    object::metadata_mut(&mut body).remove("resourceVersion");
                    let target = Target { name: None, ..target.clone() };
                    return self.create_object(caller, &target, body, options).await;
                }
                if let Change::Patch(Patch::Apply { config, force }) = &change
                    && target.subresource.is_none()
                {
                    drop(lock.take());
                    match self.create_by_apply(caller, target, config, *force, options).await {
                        // Somebody else was quicker; there is something to apply to now.
                        Err(status)
                            if status.is(&Reason::ALREADY_EXISTS) && self.store().snapshot().get(&key).is_some() =>
                        {
                            return Box::pin(self.change(caller, target, change, options, warnings)).await;
                        }
                        other => {
                            let mut written = other?;
                            warnings.append(&mut written.warnings);
                            return Ok(Written { warnings, ..written });
                        }
                    }
                }
                return Err(absent(target, &change));
            };
            // Warnings of an attempt that was lost would stand twice.
            let mut found = Vec::new();
            if let Attempt::Done(object) = self.attempt(caller, target, &entry, &change, options, &mut found).await? {
                warnings.extend(found);
                break object;
            }
        };
        let object = if lock.is_some() && !options.dry_run { self.settle_crd(object).await? } else { object };
        drop(lock);
        Ok(Written { object: scale::seen(target, object)?, created: false, warnings })
    }

    async fn create_by_apply(
        &self,
        caller: &Caller,
        target: &Target,
        config: &Value,
        force: bool,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        check_uid_of_nothing(target, config)?;
        check_nothing_expected(target, config)?;
        if let Some(status) = &options.may_not_create {
            return Err(status.clone());
        }
        let (mut body, managed) = Owner::new(target, caller, options, self.now()).apply(None, config, force)?;
        check_identity(target, &mut body)?;
        object::metadata_mut(&mut body).remove("resourceVersion");
        let target = Target { name: None, ..target.clone() };
        self.create_as(caller, &target, body, options, managed).await
    }

    async fn attempt(
        &self,
        caller: &Caller,
        target: &Target,
        entry: &Arc<Entry>,
        change: &Change,
        options: &WriteOptions,
        warnings: &mut Vec<String>,
    ) -> Result<Attempt, Status> {
        let kind = &target.kind;
        let resource = kind.group_resource();
        let whole = view::object(entry, kind, target.version()?);
        let exchanged = target.exchanged();
        let old = scale::before(target, &whole)?;
        let owner = Owner::new(target, caller, options, self.now());
        let mut applied = None;
        let (mut next, pinned) = match change {
            Change::Replace(body) => {
                let pinned = check_revision(target, body, &old)?;
                (body.clone(), pinned)
            }
            Change::Patch(Patch::Apply { config, force }) => {
                let wanted = scale::config(target, config)?;
                let (next, managed) = owner.apply(Some(&whole), &wanted, *force)?;
                applied = Some(managed);
                let mut next = scale::before(target, &Object::new(next))?.into_value();
                decode(&exchanged, &mut next, Source::Patch, options, warnings)?;
                check_identity(target, &mut next)?;
                let given = object::resource_version(config);
                if !given.is_empty() && given != object::resource_version(&old) {
                    return Err(Status::modified(&resource, target.name_text()));
                }
                (next, !given.is_empty())
            }
            Change::Patch(wanted) => {
                let mut next = patch::apply(target, &old, wanted)?;
                decode(&exchanged, &mut next, Source::Patch, options, warnings)?;
                check_identity(target, &mut next)?;
                let given = object::resource_version(&next);
                if !given.is_empty() && given != object::resource_version(&old) {
                    return Err(Status::modified(&resource, target.name_text()));
                }
                (next, patch::pins_revision(wanted))
            }
        };
        check_uid(target, &next, &old)?;
        metadata::drop_empty(&mut next);
        metadata::dedupe_owners(&mut next, warnings);
        let sent = managed::take(&mut next);
        shape(target, &mut next, &old);
        if target.scale().is_none() {
            let managed = match applied {
                Some(managed) => managed,
                None => owner.after(Some(&whole), &next, sent.as_ref())?,
            };
            managed::put(&mut next, managed.clone());
            applied = Some(managed);
        }

        let mut request = attributes(Operation::Update, caller, target, object::name(&old), options.dry_run);
        request.kind = exchanged.kind.gvk(&exchanged.version);
        request.object = Some(next);
        request.old_object = Some(old.value().clone());
        let context = self.admit_context();
        let basis = Basis { entry, old: &whole, owner: &owner, applied };
        let result = self.admit_and_store(target, &basis, &mut request, &context, warnings).await;
        warnings.extend(context.take_warnings());
        match result {
            Ok(object) => {
                request.stored();
                Ok(Attempt::Done(object))
            }
            Err(Refusal::Conflict) => {
                request.refused().await;
                if pinned { Err(Status::modified(&resource, target.name_text())) } else { Ok(Attempt::Lost) }
            }
            Err(Refusal::Status(status)) => {
                request.refused().await;
                Err(status)
            }
        }
    }

    async fn admit_and_store(
        &self,
        target: &Target,
        basis: &Basis<'_>,
        request: &mut Attributes,
        context: &Admit,
        warnings: &mut Vec<String>,
    ) -> Result<Object, Refusal> {
        let Basis { entry, old, .. } = *basis;
        let kind = &target.kind;
        let version = target.version()?;
        self.chain().admit(request, context).await?;
        let mut next = request.object.take().unwrap_or_default();
        if let Some(scale) = target.scale() {
            next = scale::write(target, scale, &next, old)?;
            // The part of the object that the Scale stands for is the request's.
            let managed = match basis.applied.clone() {
                Some(managed) => managed,
                None => basis.owner.after(Some(old), &next, None)?,
            };
            managed::put(&mut next, managed);
        } else {
            // What plugins write is nobody's, until somebody changes it; what they make of managed fields is not taken.
            let managed = basis.applied.clone().unwrap_or_default();
            managed::take(&mut next);
            normalize(target, &mut next)?;
            metadata::drop_empty(&mut next);
            shape(target, &mut next, old);
            managed::put(&mut next, managed);
        }
        let now = self.now();
        if target.subresource.is_none() || target.scale().is_some() {
            kind.strategy.prepare_update(&mut next, old, now);
            if kind.manners.generation && metadata::wanted_differs(&next, old, version.status_subresource) {
                let generation = object::generation(old) + 1;
                object::metadata_mut(&mut next).insert("generation".to_owned(), json!(generation));
            }
        }
        let below = target.subresource.as_deref().filter(|s| *s == "status").unwrap_or_default();
        validate::update(target, &next, old, below, warnings)?;
        let mut next = if target.scale().is_some() {
            // Plugins see what the request is about; what it does to the object is ours.
            let next = Object::new(next);
            request.object = Some(scale::seen(target, next.clone())?.into_value());
            self.chain().validate(request, context).await?;
            next.into_value()
        } else {
            request.object = Some(next);
            self.chain().validate(request, context).await?;
            request.object.take().unwrap_or_default()
        };

        let (stored, bytes) = view::to_bytes(view::to_storage(&next, kind), entry.bytes.len())?;
        let completes =
            object::is_terminating(&next) && object::finalizers(&next).next().is_none() && !kind.strategy.keeps(&next);
        if request.dry_run {
            let revision = json!(entry.revision.0.to_string());
            object::metadata_mut(&mut next).insert("resourceVersion".to_owned(), revision);
            return Ok(Object::new(next));
        }
        if completes {
            // The last finalizer is done: what was asked for is the end of the object.
            let gone = self.store().delete(entry.key.clone(), entry.revision).await;
            let gone = gone.map_err(|error| Refusal::of(&error, target))?;
            let revision = json!(gone.revision.0.to_string());
            object::metadata_mut(&mut next).insert("resourceVersion".to_owned(), revision);
            return Ok(Object::new(next));
        }
        let before: Option<Value> = serde_json::from_slice(&entry.bytes).ok();
        if before.as_ref() == Some(&stored) {
            return Ok(old.clone());
        }
        let put = self.store().put(entry.key.clone(), bytes, Expect::Revision(entry.revision), kind.ttl).await;
        let entry = put.map_err(|error| Refusal::of(&error, target))?;
        Ok(view::object(&entry, kind, version))
    }
}

/// What an attempt starts from.
struct Basis<'a> {
    /// The object as stored, at the revision that must still be the latest.
    entry: &'a Arc<Entry>,
    /// The object at the request's version.
    old: &'a Object,
    /// Whose the request's fields are.
    owner: &'a Owner<'a>,
    /// The managed fields, as far as they are known before admission.
    applied: Option<Option<Value>>,
}

/// Why an attempt did not store.
enum Refusal {
    /// The object is not the one that was read any more.
    Conflict,
    /// Anything else.
    Status(Status),
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl Refusal {
    fn of(error: &WriteError, target: &Target) -> Self {
        match error {
            WriteError::Conflict { .. } => Self::Conflict,
            other => Self::Status(store_failure(other, &target.kind.group_resource(), target.name_text())),
        }
    }
}

/// Puts back what the request may not touch: identity always, the rest by its subresource.
fn shape(target: &Target, next: &mut Value, old: &Value) {
    let status_subresource = target.version().is_ok_and(|v| v.status_subresource);
    match target.subresource.as_deref() {
        None => {
            metadata::keep(next, old);
            if status_subresource {
                copy_field(next, old, "status");
            }
        }
        Some("status") => {
            let mut whole = old.clone();
            copy_field(&mut whole, next, "status");
            *next = whole;
        }
        Some("scale") => scale::shape(next, old),
        Some(_) => {
            // Only `finalize` of namespaces is left: the list of finalizers that keep them.
            let mut whole = old.clone();
            let finalizers = next.pointer("/spec/finalizers").cloned().unwrap_or_else(|| json!([]));
            whole["spec"] = match finalizers.as_array() {
                Some(list) if list.is_empty() => json!({}),
                _ => json!({"finalizers": finalizers}),
            };
            *next = whole;
        }
    }
}

fn copy_field(to: &mut Value, from: &Value, field: &str) {
    let Some(fields) = to.as_object_mut() else { return };
    match from.get(field) {
        Some(value) => fields.insert(field.to_owned(), value.clone()),
        None => fields.remove(field),
    };
}

/// Checks the resourceVersion of a PUT, and returns whether there is one.
fn check_revision(target: &Target, body: &Value, old: &Value) -> Result<bool, Status> {
    let given = object::resource_version(body);
    if given.is_empty() || given == "0" {
        if target.exchanged().kind.manners.unconditional_update {
            return Ok(false);
        }
        // Unlike other 422s this one names the resource, not the kind.
        let named = GroupKind { group: target.kind.group.clone(), kind: target.kind.resource.clone() };
        let error = FieldError::invalid("metadata.resourceVersion", &json!(0), "must be specified for an update");
        return Err(Status::invalid(&named, target.name_text(), &[error]));
    }
    if given == object::resource_version(old) {
        return Ok(true);
    }
    if given.parse::<u64>().is_err() {
        let error = FieldError::invalid("metadata.resourceVersion", &json!(given), "must be an unsigned integer");
        return Err(Status::invalid(&target.kind.group_kind(), target.name_text(), &[error]));
    }
    Err(Status::modified(&target.kind.group_resource(), target.name_text()))
}

/// Checks that a uid in the body is the stored one.
fn check_uid(target: &Target, next: &Value, old: &Value) -> Result<(), Status> {
    let (wanted, found) = (object::uid(next), object::uid(old));
    if wanted.is_empty() || wanted == found {
        return Ok(());
    }
    let cause = format!(
        "StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: \
         UID in precondition: {wanted}, UID in object meta: {found}",
        key(target, target.name_text()),
    );
    Err(Status::conflict(&target.kind.group_resource(), target.name_text(), &cause))
}

/// Refuses to make an object anew that the caller believes to know: its Lease was lost to somebody else.
fn check_nothing_expected(target: &Target, body: &Value) -> Result<(), Status> {
    check_uid(target, body, &Value::Null)?;
    match object::resource_version(body) {
        "" | "0" => Ok(()),
        _ => Err(Status::modified(&target.kind.group_resource(), target.name_text())),
    }
}

fn out_of_time() -> Status {
    let text = "Timeout: request did not complete within requested timeout - context deadline exceeded";
    Status::new(504, Reason::TIMEOUT, text)
}

fn absent(target: &Target, change: &Change) -> Status {
    if let Change::Patch(Patch::Merge(patch) | Patch::Strategic(patch)) = change
        && let Err(status) = check_uid_of_nothing(target, patch)
    {
        return status;
    }
    Status::not_found(&target.kind.group_resource(), target.name_text())
}

/// Refuses a patch that is meant for an object which is no more.
fn check_uid_of_nothing(target: &Target, patch: &Value) -> Result<(), Status> {
    let uid = object::uid(patch);
    if uid.is_empty() {
        return Ok(());
    }
    let cause = format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
    Err(Status::conflict(&target.kind.group_resource(), target.name_text(), &cause))
}

/// Checks that the target is one object whose kind can do this.
pub(crate) fn check_target(target: &Target, verb: &str) -> Result<(), Status> {
    list::check_subresource(target)?;
    let resource = target.kind.group_resource();
    let supported = match target.subresource.as_deref() {
        None | Some("status" | "scale") => target.kind.supports(verb),
        Some(other) => target.kind.subresources.iter().any(|(name, verbs)| *name == other && verbs.contains(&verb)),
    };
    if !supported || target.name.is_none() || (target.kind.is_namespaced() && target.namespace.is_none()) {
        return Err(Status::method_not_supported(&resource, verb));
    }
    Ok(())
}
