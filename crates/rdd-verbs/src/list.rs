//! Get and list.

use std::sync::Arc;

use rdd_api::Status;
use rdd_store::{Entry, HistoryError, Revision, Snapshot};
use serde_json::{Value, json};

use crate::continue_token::Continue;
use crate::object::Object;
use crate::options::{List, ListOptions, Target};
use crate::revision_parameter::{Wanted, of_list};
use crate::selection::Selection;
use crate::verbs::{Verbs, key, prefix};
use crate::{scale, view};

/// After about so many bytes of stored objects a list gives way to other requests. An object counts a thousandth at
/// least, as also looking at it costs something.
const TURN: usize = 128 * 1024;

const TOO_OLD: &str = "The resourceVersion for the provided list is too old.";

const CONTINUE_TOO_OLD: &str = "The provided continue parameter is too old to display a consistent list result. You can \
     start a new list without the continue parameter, or use the continue token in this response to retrieve the \
     remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were \
     created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

/// Returns the list object of the wire. Prefer to print the parts: this copies every item.
pub fn list_object(target: &Target, list: &List) -> Value {
    let mut metadata = json!({"resourceVersion": list.revision.to_string()});
    if !list.continue_token.is_empty() {
        metadata["continue"] = json!(list.continue_token);
    }
    if let Some(remaining) = list.remaining {
        metadata["remainingItemCount"] = json!(remaining);
    }
    let items: Vec<Value> = list.items.iter().map(|o| o.value().as_ref().clone()).collect();
    json!({
        "apiVersion": target.kind.api_version(&target.version), "kind": target.kind.list_kind,
        "metadata": metadata, "items": items,
    })
}

/// Checks that a target's subresource exists on its kind.
pub(crate) fn check_subresource(target: &Target) -> Result<(), Status> {
    let Some(subresource) = target.subresource.as_deref() else { return Ok(()) };
    let known = match subresource {
        "status" => target.version()?.status_subresource,
        "scale" => target.version()?.scale.is_some(),
        other => target.kind.subresources.iter().any(|(name, _)| *name == other),
    };
    if known { Ok(()) } else { Err(Status::not_found(&target.kind.group_resource(), target.name_text())) }
}

impl Verbs {
    pub(crate) fn read(&self, target: &Target) -> Result<Object, Status> {
        check_subresource(target)?;
        let version = target.version()?;
        let name = target.name_text();
        let entry = self.store().snapshot().get(&key(target, name));
        let entry = entry.ok_or_else(|| Status::not_found(&target.kind.group_resource(), name))?;
        scale::seen(target, view::object(&entry, &target.kind, version))
    }

    pub(crate) async fn list_objects(&self, target: &Target, options: &ListOptions) -> Result<List, Status> {
        let version = target.version()?;
        let selection = Selection::new(target, &options.label_selector, &options.field_selector)?;
        let wanted = of_list(options)?;
        let mut limit = usize::try_from(options.limit).unwrap_or(usize::MAX);
        let mut after = None;
        let snapshot = if options.continue_token.is_empty() {
            match wanted {
                Wanted::Latest => self.store().snapshot(),
                Wanted::Any => {
                    // Clients that ask for any state want it cheap and whole; so it was always answered.
                    limit = 0;
                    self.store().snapshot()
                }
                Wanted::NotOlderThan(revision) => {
                    self.wait_for(revision).await?;
                    self.store().snapshot()
                }
                Wanted::Exact(revision) => self.at(revision, || Status::expired(TOO_OLD)).await?,
            }
        } else {
            let token = Continue::decode(&options.continue_token)?;
            let snapshot = match token.revision {
                None => self.store().snapshot(),
                Some(revision) => {
                    let expired = || {
                        let mut status = Status::expired(CONTINUE_TOO_OLD);
                        let fresh = Continue { revision: None, after: token.after.clone() };
                        status.continue_token = Some(fresh.encode());
                        status
                    };
                    self.at(Revision(revision), expired).await?
                }
            };
            after = Some(format!("{}{}", prefix(target).as_str(), token.after));
            snapshot
        };
        let mut list = List { revision: snapshot.revision().0, ..List::default() };
        let view = |entry: &Arc<Entry>| view::object(entry, &target.kind, version);
        if let Some(only) = selection.only_key(target.kind.is_namespaced()) {
            let entry = snapshot.get(&only).filter(|e| selection.may_cover(&e.key) && after.is_none());
            list.items.extend(entry.map(|e| view(&e)).filter(|o| selection.covers(o)));
            return Ok(list);
        }
        self.fill(&mut list, &snapshot, &selection, target, limit, after.as_deref()).await;
        Ok(list)
    }

    async fn fill(
        &self,
        list: &mut List,
        snapshot: &Snapshot,
        selection: &Selection,
        target: &Target,
        limit: usize,
        after: Option<&str>,
    ) {
        let Some(version) = target.kind.version(&target.version) else { return };
        let everything = selection.is_everything();
        let mut last = None;
        let mut turn = 0;
        let mut entries = snapshot.range(&selection.prefix(), after);
        for entry in entries.by_ref() {
            turn += entry.bytes.len().max(TURN / 1000);
            if turn > TURN {
                turn = 0;
                tokio::task::yield_now().await;
            }
            if !selection.may_cover(&entry.key) {
                continue;
            }
            let object = view::object(&entry, &target.kind, version);
            if !everything && !selection.covers(&object) {
                continue;
            }
            list.items.push(object);
            if limit > 0 && list.items.len() == limit {
                last = Some(entry);
                break;
            }
        }
        let Some(last) = last else { return };
        // Another page exists if anything is left; whether a selector covers it, only looking will tell.
        let left = if everything { entries.count() } else { usize::from(entries.next().is_some()) };
        if left == 0 {
            return;
        }
        let from = prefix(target);
        let after = last.key.as_str().strip_prefix(from.as_str()).unwrap_or_default().to_owned();
        list.continue_token = Continue { revision: Some(list.revision), after }.encode();
        list.remaining = everything.then(|| u64::try_from(left).unwrap_or(u64::MAX));
    }

    async fn at(&self, revision: Revision, expired: impl FnOnce() -> Status) -> Result<Snapshot, Status> {
        self.store().state_at(revision).await.map_err(|error| match error {
            HistoryError::Compacted { .. } => expired(),
            HistoryError::Future { current } => Status::revision_too_large(revision.0, current.0),
            other => Status::internal(other),
        })
    }
}
