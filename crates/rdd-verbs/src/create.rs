//! Create.

use rdd_admission::{Admit, Attributes, Operation};
use rdd_api::{Reason, Status, object};
use rdd_registry::Kind;
use rdd_store::{Expect, WriteError};
use serde_json::{Value, json};

use crate::decode::{Source, check_identity, decode, normalize};
use crate::managed::{self, Owner};
use crate::object::Object;
use crate::options::{Caller, Target, WriteOptions, Written};
use crate::verbs::{Verbs, key, store_failure};
use crate::{list, metadata, validate, view};

/// How often a taken generated name is replaced by another one.
const GENERATED_NAME_TRIES: usize = 8;

impl Verbs {
    pub(crate) async fn create_object(
        &self,
        caller: &Caller,
        target: &Target,
        body: Value,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        self.create_as(caller, target, body, options, None).await
    }

    /// Creates an object whose managed fields are known already, if `applied` is given: it was made by an apply.
    pub(crate) async fn create_as(
        &self,
        caller: &Caller,
        target: &Target,
        body: Value,
        options: &WriteOptions,
        applied: Option<Value>,
    ) -> Result<Written, Status> {
        check_target(target)?;
        // Counted before the look, so that who empties a kind that goes away misses no object.
        let begun = target.kind.custom.as_ref().map(|c| self.custom_creates().begin(&c.name));
        self.check_custom(target)?;
        let mut warnings = deprecation(target)?;
        let mut body = body;
        decode(target, &mut body, Source::Body, options, &mut warnings)?;
        if !object::resource_version(&body).is_empty() {
            let text = "resourceVersion should not be set on objects to be created";
            return Err(Status::new(500, Reason::UNKNOWN, text));
        }
        check_identity(target, &mut body)?;
        let sent = managed::take(&mut body);
        metadata::wipe(&mut body);
        metadata::drop_empty(&mut body);
        metadata::dedupe_owners(&mut body, &mut warnings);
        let managed = match applied {
            Some(applied) => Some(applied),
            None => Owner::new(target, caller, options, self.now()).after(None, &body, sent.as_ref())?,
        };
        managed::put(&mut body, managed);
        // One CustomResourceDefinition after the other: which names one gets depends on all.
        let lock = match is_crd(&target.kind) {
            true => Some(self.custom_kinds_lock().lock().await),
            false => None,
        };
        let mut tries = 0;
        let made = loop {
            tries += 1;
            let generated = object::name(&body).is_empty() && body.pointer("/metadata/generateName").is_some();
            match self.create_once(caller, target, body.clone(), options, &mut warnings).await {
                Err(status) if generated && status.is(&Reason::ALREADY_EXISTS) => {
                    if tries == GENERATED_NAME_TRIES {
                        return Err(exhausted(status));
                    }
                }
                other => break other?,
            }
        };
        let object = if lock.is_some() && !options.dry_run { self.settle_crd(made).await? } else { made };
        drop((lock, begun));
        Ok(Written { object, created: true, warnings })
    }

    /// Refuses creates of a custom kind that is going away, or is gone.
    fn check_custom(&self, target: &Target) -> Result<(), Status> {
        let Some(custom) = &target.kind.custom else { return Ok(()) };
        let kinds = self.registry().kinds();
        let now = kinds.by_group_resource(&target.kind.group, &target.kind.resource).and_then(|k| k.custom.as_ref());
        match now {
            Some(now) if now.uid == custom.uid && !now.terminating => Ok(()),
            Some(now) if now.uid == custom.uid => {
                let cause = "create not allowed while custom resource definition is terminating";
                Err(Status::forbidden(&target.kind.group_resource(), "", cause))
            }
            _ => Err(Status::no_such_path()),
        }
    }

    async fn create_once(
        &self,
        caller: &Caller,
        target: &Target,
        body: Value,
        options: &WriteOptions,
        warnings: &mut Vec<String>,
    ) -> Result<Object, Status> {
        let mut request = attributes(Operation::Create, caller, target, object::name(&body), options.dry_run);
        request.object = Some(body);
        let context = self.admit_context();
        let result = self.admit_and_create(target, &mut request, &context, options, warnings).await;
        warnings.extend(context.take_warnings());
        match result {
            Ok(object) => {
                request.stored();
                Ok(object)
            }
            Err(status) => {
                request.refused().await;
                Err(status)
            }
        }
    }

    async fn admit_and_create(
        &self,
        target: &Target,
        request: &mut Attributes,
        context: &Admit,
        options: &WriteOptions,
        warnings: &mut Vec<String>,
    ) -> Result<Object, Status> {
        let kind = &target.kind;
        let version = target.version()?;
        let now = self.now();
        let managed = request.object.as_ref().and_then(|object| object.pointer("/metadata/managedFields").cloned());
        let namespace = target.namespace.clone().unwrap_or_default();
        self.chain().admit(request, context).await?;
        let mut object = request.object.take().unwrap_or_default();
        // A plugin must not put the object elsewhere than where the caller may write.
        if object::namespace(&object) != namespace
            || (!request.name.is_empty() && object::name(&object) != request.name)
        {
            return Err(Status::internal("admission has changed the name or the namespace of the object"));
        }
        managed::take(&mut object);
        normalize(target, &mut object)?;
        managed::put(&mut object, managed);
        metadata::wipe(&mut object);
        metadata::drop_empty(&mut object);
        metadata::fill(&mut object, now);
        if object::name(&object).is_empty()
            && let Some(base) = object.pointer("/metadata/generateName").and_then(Value::as_str)
        {
            let name = metadata::generate_name(base);
            object::metadata_mut(&mut object).insert("name".to_owned(), json!(name));
        }
        if kind.manners.generation {
            object::metadata_mut(&mut object).insert("generation".to_owned(), json!(1));
        }
        if version.status_subresource
            && let Some(fields) = object.as_object_mut()
        {
            fields.remove("status");
        }
        kind.strategy.prepare_create(&mut object, now);
        validate::create(target, &object, warnings)?;
        let name = object::name(&object).to_owned();
        request.name.clone_from(&name);
        request.object = Some(object);
        self.chain().validate(request, context).await?;
        let object = request.object.take().unwrap_or_default();

        let key = key(target, &name);
        let taken = |current: Option<&Value>| {
            let mut status = Status::already_exists(&kind.group_resource(), &name);
            if current.is_some_and(object::is_terminating) {
                status.message = format!("object is being deleted: {}", status.message);
            }
            status
        };
        let (_, bytes) = view::to_bytes(view::to_storage(&object, kind), 0)?;
        if options.dry_run {
            return match self.store().snapshot().get(&key) {
                Some(entry) => Err(taken(Some(&view::object(&entry, kind, version)))),
                None => Ok(Object::new(object)),
            };
        }
        match self.store().put(key, bytes, Expect::Absent, kind.ttl).await {
            Ok(entry) => Ok(view::object(&entry, kind, version)),
            Err(WriteError::Conflict { current }) => {
                let current = current.map(|entry| view::object(&entry, kind, version));
                Err(taken(current.as_deref()))
            }
            Err(error) => Err(store_failure(&error, &kind.group_resource(), &name)),
        }
    }
}

fn check_target(target: &Target) -> Result<(), Status> {
    let kind = &target.kind;
    list::check_subresource(target)?;
    if target.subresource.is_some() || target.name.is_some() || !kind.supports("create") {
        return Err(Status::method_not_supported(&kind.group_resource(), "create"));
    }
    if kind.is_namespaced() && target.namespace.is_none() {
        let text = "the server does not allow this method on the requested resource";
        return Err(Status::new(405, Reason::METHOD_NOT_ALLOWED, text));
    }
    Ok(())
}

fn exhausted(mut status: Status) -> Status {
    status.message.push_str(", the server was not able to generate a unique name for the object");
    status.details.get_or_insert_default().retry_after_seconds = 1;
    status
}

/// Returns the warning that the version calls for.
pub(crate) fn deprecation(target: &Target) -> Result<Vec<String>, Status> {
    Ok(target.version()?.deprecated.iter().cloned().collect())
}

/// Returns whether the kind is CustomResourceDefinition.
pub(crate) fn is_crd(kind: &Kind) -> bool {
    kind.group == "apiextensions.k8s.io" && kind.resource == "customresourcedefinitions"
}

/// Makes the attributes that admission sees.
pub(crate) fn attributes(
    operation: Operation,
    caller: &Caller,
    target: &Target,
    name: &str,
    dry_run: bool,
) -> Attributes {
    let kind = &target.kind;
    let mut request =
        Attributes::new(operation, kind.gvk(&target.version), kind.gvr(&target.version), caller.user.clone());
    request.subresource.clone_from(&target.subresource);
    request.namespace = if kind.is_core("namespaces") { Some(name.to_owned()) } else { target.namespace.clone() };
    request.name = name.to_owned();
    request.dry_run = dry_run;
    request
}
