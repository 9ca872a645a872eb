//! Delete: at once, or by marking the object and waiting for its finalizers.
//!
//! What becomes of dependents is for the garbage collector; a deletion only leaves it the finalizer that says so.

use std::sync::Arc;

use futures::StreamExt;
use rdd_admission::{Attributes, Operation};
use rdd_api::object::{self, metadata_mut};
use rdd_api::time::format_time;
use rdd_api::{FieldError, GroupResource, Reason, Status};
use rdd_registry::Kind;
use rdd_store::{Entry, Expect, WriteError};
use serde_json::{Value, json};

use crate::create::{attributes, is_crd};
use crate::object::Object;
use crate::options::{Caller, DeleteOptions, Deleted, List, ListOptions, Target, options_group_kind};
use crate::verbs::{Verbs, key, store_failure};
use crate::{list, metadata, view};

/// How many objects of a collection are deleted at the same time.
const DELETES_AT_ONCE: usize = 64;

/// The finalizer of an object whose dependents lose their owner before it goes.
pub const ORPHAN: &str = "orphan";
/// The finalizer of an object whose dependents go before it.
pub const FOREGROUND: &str = "foregroundDeletion";

/// What becomes of dependents, as the finalizers say it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Propagation {
    Keep,
    Orphan,
    Background,
    Foreground,
}

impl Propagation {
    fn parse(options: &DeleteOptions) -> Result<Self, Status> {
        let invalid = |error| Status::invalid(&options_group_kind("DeleteOptions"), "", &[error]);
        match (options.propagation_policy.as_deref(), options.orphan_dependents) {
            (Some(_), Some(_)) => {
                let detail = "orphanDependents and deletionPropagation cannot be both set";
                Err(invalid(FieldError::invalid("propagationPolicy", &json!(options.propagation_policy), detail)))
            }
            (None, None) => Ok(Self::Keep),
            (None, Some(true)) | (Some("Orphan"), None) => Ok(Self::Orphan),
            (None, Some(false)) | (Some("Background"), None) => Ok(Self::Background),
            (Some("Foreground"), None) => Ok(Self::Foreground),
            (Some(other), None) => Err(invalid(FieldError::not_supported(
                "propagationPolicy",
                &json!(other),
                &["Foreground", "Background", "Orphan", "nil"],
            ))),
        }
    }

    /// Leaves the finalizer of what is asked for to the garbage collector, and takes the other one away. What the
    /// finalizers say holds if the caller says nothing.
    fn apply(self, kind: &Kind, object: &mut Value) {
        let has = |wanted: &str| object::finalizers(object).any(|finalizer| finalizer == wanted);
        let wanted = match self {
            // Objects that end by themselves are no part of the collector's graph.
            _ if kind.ttl.is_some() => None,
            Self::Keep if has(ORPHAN) => Some(ORPHAN),
            Self::Keep if has(FOREGROUND) => Some(FOREGROUND),
            Self::Keep | Self::Background => None,
            Self::Orphan => Some(ORPHAN),
            Self::Foreground => Some(FOREGROUND),
        };
        let finalizers = metadata_mut(object).entry("finalizers").or_insert_with(|| json!([]));
        if let Some(list) = finalizers.as_array_mut() {
            // One that is there keeps its place: a deletion that changes nothing is no write.
            list.retain(|f| f.as_str() == wanted || (f != ORPHAN && f != FOREGROUND));
            if let Some(wanted) = wanted
                && !list.iter().any(|f| f == wanted)
            {
                list.push(json!(wanted));
            }
        }
        metadata::drop_empty(object);
    }
}

impl Verbs {
    pub(crate) async fn delete_object(
        &self,
        caller: &Caller,
        target: &Target,
        options: &DeleteOptions,
    ) -> Result<Deleted, Status> {
        let kind = &target.kind;
        list::check_subresource(target)?;
        if target.subresource.is_some() || target.name.is_none() || !kind.supports("delete") {
            return Err(Status::method_not_supported(&kind.group_resource(), "delete"));
        }
        let propagation = Propagation::parse(options)?;
        let lock = match is_crd(kind) {
            true => Some(self.custom_kinds_lock().lock().await),
            false => None,
        };
        let name = target.name_text();
        let key = key(target, name);
        let deleted = loop {
            let entry = self.store().snapshot().get(&key);
            let entry = entry.ok_or_else(|| Status::not_found(&kind.group_resource(), name))?;
            let old = view::object(&entry, kind, target.version()?);
            check_preconditions(target, options, &old)?;
            let mut request = attributes(Operation::Delete, caller, target, name, options.dry_run);
            request.old_object = Some(old.value().clone());
            match self.delete_once(target, &entry, &old, propagation, &mut request).await {
                Ok(Some(deleted)) => {
                    request.stored();
                    break deleted;
                }
                // Somebody wrote in between; what they wrote is judged afresh.
                Ok(None) => request.refused().await,
                Err(status) => {
                    request.refused().await;
                    return Err(status);
                }
            }
        };
        if let Deleted::Object(object) = &deleted
            && lock.is_some()
            && !options.dry_run
        {
            self.settle_crd(object.clone()).await?;
        }
        drop(lock);
        Ok(deleted)
    }

    async fn delete_once(
        &self,
        target: &Target,
        entry: &Arc<Entry>,
        old: &Object,
        propagation: Propagation,
        request: &mut Attributes,
    ) -> Result<Option<Deleted>, Status> {
        let kind = &target.kind;
        let version = target.version()?;
        let context = self.admit_context();
        self.chain().admit(request, &context).await?;
        self.chain().validate(request, &context).await?;

        let now = self.now();
        let mut next = old.value().as_ref().clone();
        propagation.apply(kind, &mut next);
        if !object::is_terminating(&next) {
            kind.strategy.prepare_delete(&mut next, now);
            let generation = object::generation(&next);
            let metadata = metadata_mut(&mut next);
            metadata.insert("deletionTimestamp".to_owned(), json!(format_time(now)));
            metadata.insert("deletionGracePeriodSeconds".to_owned(), json!(0));
            if generation > 0 {
                metadata.insert("generation".to_owned(), json!(generation + 1));
            }
        }
        let stays = object::finalizers(&next).next().is_some() || kind.strategy.keeps(&next);
        let gone = |object: Object| {
            if kind.manners.return_deleted {
                Deleted::Object(object)
            } else {
                Deleted::Gone { name: object::name(&object).to_owned(), uid: object::uid(&object).to_owned() }
            }
        };
        if request.dry_run {
            return Ok(Some(if stays { Deleted::Object(Object::new(next)) } else { gone(old.clone()) }));
        }
        let resource = kind.group_resource();
        let written = if stays {
            if next == **old.value() {
                return Ok(Some(Deleted::Object(old.clone())));
            }
            let bytes = view::to_storage(&next, kind).to_string();
            self.store().put(entry.key.clone(), bytes.into(), Expect::Revision(entry.revision), kind.ttl).await
        } else {
            self.store().delete(entry.key.clone(), entry.revision).await
        };
        match written {
            Ok(entry) => {
                let object = view::object(&entry, kind, version);
                Ok(Some(if stays { Deleted::Object(object) } else { gone(object) }))
            }
            Err(WriteError::Conflict { .. }) => Ok(None),
            Err(error) => Err(store_failure(&error, &resource, target.name_text())),
        }
    }

    pub(crate) async fn delete_objects(
        &self,
        caller: &Caller,
        target: &Target,
        options: &DeleteOptions,
        list: &ListOptions,
    ) -> Result<List, Status> {
        if !target.kind.supports("deletecollection") {
            return Err(Status::method_not_supported(&target.kind.group_resource(), "deletecollection"));
        }
        Propagation::parse(options)?;
        let mut deleted = self.list_objects(target, list).await?;
        deleted.continue_token.clear();
        deleted.remaining = None;
        // Several at once, so that they share the store's commits.
        let results: Vec<Result<Object, Status>> = futures::stream::iter(std::mem::take(&mut deleted.items))
            .map(|object| self.delete_listed(caller, target, options, object))
            .buffered(DELETES_AT_ONCE)
            .collect()
            .await;
        deleted.items = results.into_iter().collect::<Result<_, _>>()?;
        Ok(deleted)
    }

    async fn delete_listed(
        &self,
        caller: &Caller,
        target: &Target,
        options: &DeleteOptions,
        object: Object,
    ) -> Result<Object, Status> {
        let one = Target {
            namespace: Some(object::namespace(&object).to_owned()).filter(|n| !n.is_empty()),
            name: Some(object::name(&object).to_owned()),
            ..target.clone()
        };
        match self.delete_object(caller, &one, options).await {
            Ok(Deleted::Object(last)) => Ok(last),
            Ok(Deleted::Gone { .. }) => Ok(object),
            // Somebody else was quicker, which is as good.
            Err(status) if status.is(&Reason::NOT_FOUND) => Ok(object),
            Err(status) => Err(status),
        }
    }
}

fn check_preconditions(target: &Target, options: &DeleteOptions, old: &Value) -> Result<(), Status> {
    // Unlike other 409s these name the kind, not the resource.
    let named = GroupResource::new(target.kind.group.clone(), target.kind.kind.clone());
    let refuse = |what: &str, wanted: &str, found: &str, end: &str| {
        let cause = format!(
            "the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). The object might \
             have been {end}"
        );
        Err(Status::conflict(&named, target.name_text(), &cause))
    };
    if let Some(wanted) = &options.uid
        && wanted != object::uid(old)
    {
        return refuse("UID", wanted, object::uid(old), "deleted and then recreated");
    }
    if let Some(wanted) = &options.resource_version
        && wanted != object::resource_version(old)
    {
        return refuse("ResourceVersion", wanted, object::resource_version(old), "modified");
    }
    Ok(())
}
