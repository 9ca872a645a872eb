//! Events: what happened to an object, for people who ask `kubectl describe`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::{Event, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};

/// The longest note that the API accepts, in bytes.
const NOTE_LIMIT: usize = 1024;
/// Equal events within this time become one event with a count.
const SERIES_WINDOW: Duration = Duration::from_secs(360);

/// How an event is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The ordinary course.
    Normal,
    /// Something that a person may want to look into.
    Warning,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Severity::Normal => "Normal",
            Severity::Warning => "Warning",
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Happening {
    /// How it is meant.
    pub severity: Severity,
    /// Why, as a CamelCase word.
    pub reason: String,
    /// What was done, as a CamelCase word.
    pub action: String,
    /// A sentence for people.
    pub note: String,
}

impl Happening {
    /// A condition changed: reason `ConditionChanged`, the condition's type as action, its message
    /// as note.
    pub fn condition_changed(kind: &str, message: &str) -> Self {
        Self {
            severity: Severity::Normal,
            reason: "ConditionChanged".to_owned(),
            action: kind.to_owned(),
            note: message.to_owned(),
        }
    }
}

#[derive(Debug)]
struct Series {
    name: String,
    count: i32,
    seen: Instant,
}

/// Writes events. Equal events in a short time are counted in one object.
///
/// kube's own recorder counts events with different notes as equal, and so keeps only the first of
/// several notes; ours tell conditions by their notes.
#[derive(Clone)]
pub struct Recorder {
    client: Client,
    controller: String,
    series: Arc<Mutex<HashMap<(String, Happening), Series>>>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("controller", &self.controller).finish_non_exhaustive()
    }
}

impl Recorder {
    /// Makes a recorder that reports as `controller`.
    pub fn new(client: Client, controller: impl Into<String>) -> Self {
        Self { client, controller: controller.into(), series: Arc::default() }
    }

    /// Writes an event about `regarding`. An event is never worth a failed reconcile: what goes
    /// wrong is logged.
    pub async fn publish(&self, regarding: &ObjectReference, happening: &Happening) {
        if let Err(error) = self.write(regarding, happening).await {
            tracing::debug!(error = %error, note = happening.note, "cannot write an event");
        }
    }

    async fn write(&self, regarding: &ObjectReference, happening: &Happening) -> Result<(), kube::Error> {
        let namespace = regarding.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let events: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        let key = (regarding.uid.clone().unwrap_or_default(), happening.clone());
        let now = Timestamp::now();
        let repeated = {
            let mut series = self.series.lock().expect("no holder of this lock panics");
            series.retain(|_, s| s.seen.elapsed() < SERIES_WINDOW);
            series.get_mut(&key).map(|s| {
                s.count += 1;
                s.seen = Instant::now();
                (s.name.clone(), s.count)
            })
        };
        if let Some((name, count)) = repeated {
            let series = EventSeries { count, last_observed_time: MicroTime(now) };
            let patch = serde_json::json!({ "series": series });
            match events.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await {
                // Somebody removed it, or its time was over: begin anew.
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                other => return other.map(drop),
            }
        }
        let event = self.event(regarding, happening, &namespace, now);
        let name = event.metadata.name.clone().unwrap_or_default();
        events.create(&PostParams::default(), &event).await?;
        let series = Series { name, count: 1, seen: Instant::now() };
        self.series.lock().expect("no holder of this lock panics").insert(key, series);
        Ok(())
    }

    fn event(&self, regarding: &ObjectReference, happening: &Happening, namespace: &str, now: Timestamp) -> Event {
        let about = regarding.name.as_deref().unwrap_or(&self.controller);
        Event {
            action: Some(happening.action.clone()),
            event_time: Some(MicroTime(now)),
            metadata: ObjectMeta {
                name: Some(format!("{about}.{:x}", now.as_nanosecond())),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            note: Some(cut(&happening.note).to_owned()),
            reason: Some(happening.reason.clone()),
            regarding: Some(regarding.clone()),
            reporting_controller: Some(self.controller.clone()),
            reporting_instance: Some(self.controller.clone()),
            type_: Some(happening.severity.as_str().to_owned()),
            ..Event::default()
        }
    }
}

fn cut(note: &str) -> &str {
    &note[..note.floor_char_boundary(NOTE_LIMIT)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let long = "ä".repeat(NOTE_LIMIT);
        assert_eq!(cut(&long).len(), NOTE_LIMIT);
        assert_eq!(cut(&format!("x{long}")).len(), NOTE_LIMIT - 1);
    }
}
