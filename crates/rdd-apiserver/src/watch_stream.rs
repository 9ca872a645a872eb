//! Watch streams: events as JSON lines, each sent as soon as it is there.
//!
//! An object's JSON is made once for all watches that send it as it is (`Object::json`); tables and
//! metadata-only forms are made per watch. Events that are ready together leave in one write.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use rdd_api::time::Clock;
use rdd_verbs::{Object, WatchEvent};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::form::{Form, partial};
use crate::negotiate::{Encoding, Transform};
use crate::shared::Shared;

/// How many ready events may leave in one write.
const BATCH: usize = 64;

/// What a watch sends.
pub(crate) struct Writer {
    pub(crate) form: Form,
    pub(crate) encoding: Encoding,
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whether the columns were told already.
    pub(crate) told_columns: bool,
}

/// Returns the body of a watch. It ends with the events, or cleanly when `stop` is cancelled.
pub(crate) fn body(
    events: impl Stream<Item = WatchEvent> + Send + 'static,
    mut writer: Writer,
    shared: Arc<Shared>,
    stop: CancellationToken,
) -> Body {
    let going = Going::start(shared);
    let lines = events.ready_chunks(BATCH).map(move |batch| {
        let _ = &going;
        let mut out = Vec::new();
        for event in batch {
            writer.write(&mut out, &event);
        }
        Ok::<_, std::convert::Infallible>(Bytes::from(out))
    });
    Body::from_stream(lines.take_until(stop.cancelled_owned()))
}

/// Counts the watch while its stream lives.
struct Going(Arc<Shared>);

impl Going {
    fn start(shared: Arc<Shared>) -> Self {
        shared.metrics.watch_started();
        Self(shared)
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        self.0.metrics.watch_ended();
    }
}

impl Writer {
    fn write(&mut self, out: &mut Vec<u8>, event: &WatchEvent) {
        match event {
            WatchEvent::Added(object) => self.object(out, "ADDED", object),
            WatchEvent::Modified(object) => self.object(out, "MODIFIED", object),
            WatchEvent::Deleted(object) => self.object(out, "DELETED", object),
            WatchEvent::Bookmark { revision, initial_events_end } => {
                let value = self.bookmark(*revision, *initial_events_end);
                self.line(out, "BOOKMARK", &value);
            }
            WatchEvent::Error(status) => self.line(out, "ERROR", &status.to_json()),
        }
    }

    fn object(&mut self, out: &mut Vec<u8>, kind: &str, object: &Object) {
        match self.form.transform {
            Transform::None if self.encoding == Encoding::Json => {
                let json = object.json();
                out.reserve(json.len() + 40);
                out.extend_from_slice(br#"{"type":""#);
                out.extend_from_slice(kind.as_bytes());
                out.extend_from_slice(br#"","object":"#);
                out.extend_from_slice(&json);
                out.extend_from_slice(b"}\n");
            }
            Transform::None => self.line(out, kind, object),
            Transform::Table(meta) => {
                self.form.now = self.clock.now();
                let metadata = json!({"resourceVersion": rdd_api::object::resource_version(object)});
                let value = self.form.table(meta, &[object], metadata, !self.told_columns);
                self.told_columns = true;
                self.line(out, kind, &value);
            }
            // Informers of metadata ask for either; each event carries one object.
            Transform::Partial(meta) | Transform::PartialList(meta) => self.line(out, kind, &partial(object, meta)),
        }
    }

    fn bookmark(&mut self, revision: u64, initial_events_end: bool) -> Value {
        let mut metadata = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if initial_events_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let bare = json!({"kind": self.kind, "apiVersion": self.api_version, "metadata": metadata});
        match self.form.transform {
            Transform::None => bare,
            Transform::Partial(meta) | Transform::PartialList(meta) => partial(&bare, meta),
            Transform::Table(meta) => {
                let list = json!({"resourceVersion": revision.to_string()});
                let mut table = self.form.table(meta, &[], list, !self.told_columns);
                self.told_columns = true;
                let cells = vec![Value::Null; self.form.version.columns.len()];
                table["rows"] = json!([{"cells": cells, "object": partial(&bare, meta)}]);
                table
            }
        }
    }

    fn line(&self, out: &mut Vec<u8>, kind: &str, object: &Value) {
        let event = json!({"type": kind, "object": object});
        match self.encoding {
            Encoding::Json => {
                serde_json::to_writer(&mut *out, &event).expect("a JSON value prints");
                out.push(b'\n');
            }
            Encoding::Yaml => {
                out.extend_from_slice(b"---\n");
                out.extend_from_slice(rdd_schema::yaml::print(&event).as_bytes());
            }
        }
    }
}
