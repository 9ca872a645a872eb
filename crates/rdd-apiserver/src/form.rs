//! The forms of an object that clients ask for: itself, metadata only, or a table row.

use std::borrow::Cow;

use jiff::Timestamp;
use rdd_api::Status;
use rdd_registry::Version;
use serde_json::{Value, json};

use crate::negotiate::Transform;
use crate::query::Query;

/// What stands in `rows[].object`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Include {
    None,
    Metadata,
    Object,
}

impl Include {
    pub(crate) fn parse(query: &Query) -> Result<Self, Status> {
        match query.text("includeObject") {
            None | Some("Metadata") => Ok(Self::Metadata),
            Some("None") => Ok(Self::None),
            Some("Object") => Ok(Self::Object),
            Some(other) => Err(Status::bad_request(format!(
                "Unable to convert to Table as requested: unrecognized includeObject value: \"{other}\""
            ))),
        }
    }
}

/// Turns objects into the form that was agreed on.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(crate) transform: Transform,
    pub(crate) include: Include,
    pub(crate) version: Version,
    pub(crate) now: Timestamp,
}

impl Form {
    /// Returns one object's form.
    pub(crate) fn one(&self, object: &Value) -> Result<Value, Status> {
        match self.transform {
            Transform::None => Ok(object.clone()),
            Transform::Table(meta) => Ok(self.table(meta, &[object], json!({"resourceVersion": rv(object)}), true)),
            Transform::Partial(meta) => Ok(partial(object, meta)),
            Transform::PartialList(_) => Err(Status::new(
                406,
                rdd_api::Reason::NOT_ACCEPTABLE,
                "you requested PartialObjectMetadataList, but the requested object is not a list",
            )),
        }
    }

    /// Returns a list's form without items, and the field in which they belong. `plain` is the list itself: kind, API
    /// version and metadata.
    pub(crate) fn envelope(&self, mut plain: Value) -> Result<(Value, &'static str), Status> {
        match self.transform {
            Transform::None => {
                plain["items"] = json!([]);
                Ok((plain, "items"))
            }
            Transform::Table(meta) => Ok((self.table(meta, &[], plain["metadata"].take(), true), "rows")),
            Transform::PartialList(meta) => Ok((
                json!({
                    "kind": "PartialObjectMetadataList", "apiVersion": format!("meta.k8s.io/{meta}"),
                    "metadata": plain["metadata"].take(), "items": [],
                }),
                "items",
            )),
            Transform::Partial(_) => Err(Status::new(
                406,
                rdd_api::Reason::NOT_ACCEPTABLE,
                "you requested PartialObjectMetadata, but the requested object is a list",
            )),
        }
    }

    /// Returns what stands in a list's form for one object.
    pub(crate) fn item<'a>(&self, object: &'a Value) -> Cow<'a, Value> {
        match self.transform {
            Transform::None => Cow::Borrowed(object),
            Transform::Table(meta) => Cow::Owned(self.row(meta, object)),
            Transform::Partial(meta) | Transform::PartialList(meta) => Cow::Owned(partial(object, meta)),
        }
    }

    /// Returns the table of some objects. Watches tell the columns only once.
    pub(crate) fn table(&self, meta: &str, objects: &[&Value], metadata: Value, with_columns: bool) -> Value {
        let columns: Vec<Value> = if with_columns {
            let column = |c: &rdd_registry::Column| {
                json!({
                    "name": c.name, "type": c.kind, "format": c.format, "description": c.description,
                    "priority": c.priority,
                })
            };
            self.version.columns.iter().map(column).collect()
        } else {
            Vec::new()
        };
        let rows: Vec<Value> = objects.iter().map(|object| self.row(meta, object)).collect();
        json!({
            "kind": "Table", "apiVersion": format!("meta.k8s.io/{meta}"), "metadata": metadata,
            "columnDefinitions": columns, "rows": rows,
        })
    }

    fn row(&self, meta: &str, object: &Value) -> Value {
        let cells: Vec<Value> = self.version.columns.iter().map(|column| column.cell(object, self.now)).collect();
        let included = match self.include {
            Include::None => Value::Null,
            Include::Metadata => partial(object, meta),
            Include::Object => object.clone(),
        };
        json!({"cells": cells, "object": included})
    }
}

/// Returns an object's metadata-only form.
pub(crate) fn partial(object: &Value, meta: &str) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{meta}"),
        "metadata": object.get("metadata").cloned().unwrap_or_else(|| json!({})),
    })
}

fn rv(object: &Value) -> &str {
    rdd_api::object::resource_version(object)
}
