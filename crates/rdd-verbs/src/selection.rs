//! Which objects a list or watch covers: its target, narrowed by selectors.

use std::borrow::Cow;

use rdd_api::Status;
use rdd_registry::SelectableField;
use rdd_schema::selector::{FieldSelector, LabelSelector};
use rdd_store::{Key, Prefix};
use serde_json::Value;

use crate::options::Target;

/// Which objects a list or watch covers.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    labels: LabelSelector,
    fields: FieldSelector,
    selectable: Vec<SelectableField>,
    storage_group: String,
    storage_resource: String,
    namespace: Option<String>,
    name: Option<String>,
    nothing: bool,
}

impl Selection {
    /// Reads the selectors of a request.
    pub(crate) fn new(target: &Target, labels: &str, fields: &str) -> Result<Self, Status> {
        let labels = LabelSelector::parse(labels).map_err(|e| Status::bad_request(e.to_string()))?;
        let fields = FieldSelector::parse(fields).map_err(|e| Status::bad_request(e.to_string()))?;
        let selectable = target.version()?.selectable_fields.clone();
        for term in fields.terms() {
            let known = term.field == "metadata.name"
                || (term.field == "metadata.namespace" && target.kind.is_namespaced())
                || selectable.iter().any(|f| f.name == term.field);
            if !known {
                return Err(unknown_field(target, &term.field, selectable.is_empty()));
            }
        }
        let mut nothing = false;
        let mut narrow = |from: Option<&str>, by: Option<&str>| match (from, by) {
            (Some(from), Some(by)) if from != by => {
                nothing = true;
                Some(from.to_owned())
            }
            (from, by) => from.or(by).map(str::to_owned),
        };
        let namespace = narrow(target.namespace.as_deref(), fields.required("metadata.namespace"));
        let name = narrow(target.name.as_deref(), fields.required("metadata.name"));
        Ok(Self {
            nothing,
            namespace: namespace.filter(|n| !n.is_empty()),
            name: name.filter(|n| !n.is_empty()),
            storage_group: target.kind.storage.group.clone(),
            storage_resource: target.kind.storage.resource.clone(),
            labels,
            fields,
            selectable,
        })
    }

    /// Returns the keys that may be covered.
    pub(crate) fn prefix(&self) -> Prefix {
        match &self.namespace {
            Some(namespace) => Prefix::namespace(&self.storage_group, &self.storage_resource, namespace),
            None => Prefix::resource(&self.storage_group, &self.storage_resource),
        }
    }

    /// Returns the only key that may be covered, if there is only one.
    pub(crate) fn only_key(&self, namespaced: bool) -> Option<Key> {
        let name = self.name.as_deref()?;
        if namespaced && self.namespace.is_none() {
            return None;
        }
        Some(Key::new(&self.storage_group, &self.storage_resource, self.namespace.as_deref(), name))
    }

    /// Returns whether an object under this key may be covered; looks at nothing else.
    pub(crate) fn may_cover(&self, key: &Key) -> bool {
        !self.nothing && self.name.as_deref().is_none_or(|name| key.name() == name)
    }

    /// Returns whether every object under the prefix is covered.
    pub(crate) fn is_everything(&self) -> bool {
        !self.nothing && self.labels.is_empty() && self.fields.is_empty() && self.name.is_none()
    }

    /// Returns whether an object is covered, given that its key may be.
    pub(crate) fn covers(&self, object: &Value) -> bool {
        if self.nothing {
            return false;
        }
        let labels = object.get("metadata").and_then(|m| m.get("labels")).and_then(Value::as_object);
        self.labels.matches(labels) && self.fields.matches(|field| self.field(object, field))
    }

    fn field<'a>(&self, object: &'a Value, name: &str) -> Option<Cow<'a, str>> {
        match name {
            "metadata.name" => Some(Cow::Borrowed(rdd_api::object::name(object))),
            "metadata.namespace" => Some(Cow::Borrowed(rdd_api::object::namespace(object))),
            _ => self.selectable.iter().find(|f| f.name == name).map(|f| Cow::Owned(f.value(object))),
        }
    }
}

fn unknown_field(target: &Target, field: &str, only_metadata: bool) -> Status {
    if target.kind.custom.is_some() || !only_metadata {
        return Status::bad_request(format!("field label not supported: {field}"));
    }
    let known =
        if target.kind.is_namespaced() { "\"metadata.name\", \"metadata.namespace\"" } else { "\"metadata.name\"" };
    Status::bad_request(format!("{field:?} is not a known field selector: only {known}"))
}
