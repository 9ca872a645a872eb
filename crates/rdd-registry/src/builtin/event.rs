//! Events: two kinds over one storage. Stored is the core form; `events.k8s.io` renames fields.

use jiff::Timestamp;
use rdd_api::{FieldError, object};
use serde_json::{Value, json};

use crate::column::{Column, age};
use crate::kind::SelectableField;
use crate::strategy::Strategy;

/// The fields that have different names: first in core, then in `events.k8s.io`.
const RENAMED: [(&str, &str); 7] = [
    ("message", "note"),
    ("involvedObject", "regarding"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

const NOTE_LIMIT: usize = 1024;

pub(crate) struct CoreEventStrategy;

pub(crate) struct EventStrategy;

impl Strategy for CoreEventStrategy {
    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        check_namespace(object, "involvedObject", &mut errors);
        errors
    }

    fn validate_update(&self, object: &Value, _old: &Value) -> Vec<FieldError> {
        self.validate_create(object)
    }
}

impl Strategy for EventStrategy {
    fn encode(&self, object: &mut Value) {
        rename(object, |(core, new)| (new, core));
    }

    fn decode(&self, object: &mut Value) {
        rename(object, |(core, new)| (core, new));
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        check_namespace(object, "regarding", &mut errors);
        let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
        for field in ["eventTime", "reportingController", "reportingInstance", "action", "reason"] {
            if text(field).is_empty() {
                errors.push(FieldError::required(field, ""));
            }
        }
        if !["Normal", "Warning"].contains(&text("type")) {
            errors.push(FieldError::invalid("type", &json!(text("type")), "has invalid value"));
        }
        if text("note").len() > NOTE_LIMIT {
            let detail = "can have at most 1024 characters";
            errors.push(FieldError::invalid("note", &json!(text("note")), detail));
        }
        errors
    }
}

fn rename(object: &mut Value, order: impl Fn((&'static str, &'static str)) -> (&'static str, &'static str)) {
    let Some(fields) = object.as_object_mut() else { return };
    for pair in RENAMED {
        let (from, to) = order(pair);
        if let Some(value) = fields.remove(from) {
            fields.insert(to.to_owned(), value);
        }
    }
}

fn check_namespace(event: &Value, field: &str, errors: &mut Vec<FieldError>) {
    let involved = event.get(field).and_then(|o| o.get("namespace")).and_then(Value::as_str).unwrap_or_default();
    let namespace = object::namespace(event);
    // What lives outside of namespaces has its events in `default`.
    let fits = if involved.is_empty() { namespace.is_empty() || namespace == "default" } else { involved == namespace };
    if !fits {
        let detail = "does not match event.namespace";
        errors.push(FieldError::invalid(format!("{field}.namespace"), &json!(involved), detail));
    }
}

/// Returns what field selectors may name, given how the version calls the three fields that differ.
pub(crate) fn selectable_fields(about: &str, reporter: &str, source: &str) -> Vec<SelectableField> {
    let mut fields: Vec<SelectableField> =
        ["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"]
            .iter()
            .map(|f| SelectableField::plain(&format!("{about}.{f}")))
            .collect();
    fields.extend(["reason", reporter, "type"].map(SelectableField::plain));
    fields.push(SelectableField::at("source", &format!("{source}.component")));
    fields
}

/// Reads a field under its core name from either form.
fn field<'a>(event: &'a Value, core: &str) -> Option<&'a Value> {
    event.get(core).or_else(|| {
        let (_, new) = RENAMED.iter().find(|(name, _)| *name == core)?;
        event.get(*new)
    })
}

fn text(event: &Value, core: &str) -> String {
    field(event, core).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn part<'a>(value: Option<&'a Value>, key: &str) -> &'a str {
    value.and_then(|v| v.get(key)).and_then(Value::as_str).unwrap_or_default()
}

fn first_seen(event: &Value, now: Timestamp) -> String {
    let stamp = field(event, "firstTimestamp").filter(|t| !t.is_null()).or_else(|| event.get("eventTime"));
    age(stamp, now)
}

fn last_seen(event: &Value, now: Timestamp) -> String {
    let series = event.pointer("/series/lastObservedTime").filter(|t| !t.is_null());
    match series.or_else(|| field(event, "lastTimestamp").filter(|t| !t.is_null())) {
        Some(stamp) => age(Some(stamp), now),
        None => first_seen(event, now),
    }
}

/// Returns the columns, which both kinds share.
pub(crate) fn columns() -> Vec<Column> {
    let mut name = Column::name();
    name.priority = 1;
    name.format = String::new();
    vec![
        Column::computed("Last Seen", "string", 0, "The last time this event was observed.", |e, now| {
            json!(last_seen(e, now))
        }),
        Column::computed("Type", "string", 0, "Normal or Warning.", |e, _| json!(text(e, "type"))),
        Column::computed("Reason", "string", 0, "Why the event came about.", |e, _| json!(text(e, "reason"))),
        Column::computed("Object", "string", 0, "The object this event is about.", |e, _| {
            let about = field(e, "involvedObject");
            json!(format!("{}/{}", part(about, "kind").to_lowercase(), part(about, "name")))
        }),
        Column::computed("Subobject", "string", 1, "The part of the object.", |e, _| {
            json!(part(field(e, "involvedObject"), "fieldPath"))
        }),
        Column::computed("Source", "string", 1, "Who reports the event.", |e, _| {
            let source = field(e, "source");
            let component = match part(source, "component") {
                "" => text(e, "reportingComponent"),
                component => component.to_owned(),
            };
            match part(source, "host") {
                "" => json!(component),
                host => json!(format!("{component}, {host}")),
            }
        }),
        Column::computed("Message", "string", 0, "What happened.", |e, _| json!(text(e, "message").trim())),
        Column::computed("First Seen", "string", 1, "The first time this event was observed.", |e, now| {
            json!(first_seen(e, now))
        }),
        Column::computed("Count", "string", 1, "How often this event was observed.", |e, _| {
            let series = e.pointer("/series/count").and_then(Value::as_i64);
            let count = series.or_else(|| field(e, "count").and_then(Value::as_i64)).unwrap_or(1).max(1);
            json!(count.to_string())
        }),
        name,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(mut event: Value) -> Value {
        event["metadata"] = json!({"namespace": "default", "name": "e"});
        event
    }

    #[test]
    fn the_two_forms_turn_into_each_other() {
        let core = json!({"message": "m", "involvedObject": {"kind": "A"}, "source": {"component": "c"}, "count": 2,
            "reason": "r"});
        let mut value = core.clone();
        EventStrategy.decode(&mut value);
        assert_eq!(
            value,
            json!({"note": "m", "regarding": {"kind": "A"}, "deprecatedSource": {"component": "c"},
                "deprecatedCount": 2, "reason": "r"})
        );
        EventStrategy.encode(&mut value);
        assert_eq!(value, core);
    }

    #[test]
    fn an_event_lies_beside_its_object() {
        let errors = |namespace: &str| {
            let object = event(json!({"involvedObject": {"namespace": namespace}}));
            CoreEventStrategy.validate_create(&object).len()
        };
        assert_eq!((errors("default"), errors(""), errors("other")), (0, 0, 1));
    }

    #[test]
    fn both_forms_print_the_same() {
        let now: Timestamp = "2025-01-01T00:10:00Z".parse().expect("a time");
        let mut object = event(json!({"involvedObject": {"kind": "LimaVM", "name": "a"}, "message": "up\n",
            "lastTimestamp": "2025-01-01T00:00:00Z", "type": "Normal", "reason": "Started", "source": {"component": "c"}}));
        let cells = |object: &Value| columns().iter().map(|c| c.cell(object, now)).collect::<Vec<_>>();
        let core = cells(&object);
        EventStrategy.decode(&mut object);
        assert_eq!(core, cells(&object));
        let texts: Vec<&str> = core.iter().filter_map(Value::as_str).collect();
        assert_eq!(texts, ["10m", "Normal", "Started", "limavm/a", "", "c", "up", "<unknown>", "1", "e"]);
    }
}
