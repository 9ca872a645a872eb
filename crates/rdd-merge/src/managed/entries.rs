//! `metadata.managedFields`: who owns which fields, read and written.

use serde_json::{Map, Value, json};

use super::field_set::FieldSet;

/// No more managers that update are told apart than this; the oldest become one.
const MAX_UPDATERS: usize = 10;
const ANCIENT: &str = "ancient-changes";

/// How a manager came to own fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    /// It applied a configuration.
    Apply,
    /// It wrote.
    Update,
}

impl Operation {
    fn text(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// One manager and what it owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) operation: Operation,
    pub(super) manager: String,
    pub(super) api_version: String,
    pub(super) subresource: String,
    /// RFC 3339; empty if unknown.
    pub(super) time: String,
    pub(super) fields: FieldSet,
}

impl Entry {
    /// Returns whether both are the same manager. One that applies is the same at whatever version.
    pub(super) fn is_same(&self, other: &Entry) -> bool {
        self.operation == other.operation
            && self.manager == other.manager
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    fn read(entry: &Value) -> Option<Self> {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        if text("fieldsType") != "FieldsV1" || text("apiVersion").is_empty() {
            return None;
        }
        let operation = match text("operation").as_str() {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return None,
        };
        let fields = match entry.get("fieldsV1") {
            Some(fields @ Value::Object(_)) => FieldSet::from_fields_v1(fields)?,
            _ => FieldSet::default(),
        };
        Some(Self {
            operation,
            manager: text("manager"),
            api_version: text("apiVersion"),
            subresource: text("subresource"),
            time: text("time"),
            fields,
        })
    }

    fn to_json(&self) -> Value {
        let mut entry = Map::new();
        let texts = [("manager", &self.manager), ("time", &self.time), ("subresource", &self.subresource)];
        for (key, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            entry.insert(key.to_owned(), json!(text));
        }
        entry.insert("operation".to_owned(), json!(self.operation.text()));
        entry.insert("apiVersion".to_owned(), json!(self.api_version));
        entry.insert("fieldsType".to_owned(), json!("FieldsV1"));
        entry.insert("fieldsV1".to_owned(), self.fields.to_fields_v1());
        Value::Object(entry)
    }
}

/// All managers of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entries(pub(super) Vec<Entry>);

impl Entries {
    /// Reads `managedFields`; `None` if any entry is none.
    pub(super) fn read(list: Option<&Value>) -> Option<Self> {
        match list {
            None | Some(Value::Null) => Some(Self::default()),
            Some(Value::Array(list)) => list.iter().map(Entry::read).collect::<Option<Vec<_>>>().map(Self),
            Some(_) => None,
        }
    }

    pub(super) fn find(&self, like: &Entry) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.is_same(like))
    }

    /// Puts an entry in the place of the same manager's.
    pub(super) fn put(&mut self, entry: Entry) {
        self.0.retain(|other| !other.is_same(&entry));
        if !entry.fields.is_empty() {
            self.0.push(entry);
        }
    }

    /// Returns whether both say the same, whenever it came to be.
    pub(super) fn says_the_same(&self, other: &Entries) -> bool {
        let same =
            |entry: &Entry| other.find(entry).is_some_and(|o| Entry { time: o.time.clone(), ..entry.clone() } == *o);
        self.0.len() == other.0.len() && self.0.iter().all(same)
    }

    /// Makes one of the oldest managers that update, if there are too many.
    pub(super) fn cap(&mut self) {
        while self.0.iter().filter(|e| e.operation == Operation::Update).count() > MAX_UPDATERS {
            let mut young: Vec<usize> =
                (0..self.0.len()).filter(|at| self.0[*at].operation == Operation::Update).collect();
            young.sort_by(|a, b| {
                let key = |at: &usize| (self.0[*at].manager != ANCIENT, &self.0[*at].time, &self.0[*at].manager);
                key(a).cmp(&key(b))
            });
            // Each version has its own; the oldest manager joins, or becomes, that of its version.
            let Some(at) = young.into_iter().find(|at| self.0[*at].manager != ANCIENT) else { return };
            let mut oldest = self.0.remove(at);
            ANCIENT.clone_into(&mut oldest.manager);
            match self.0.iter_mut().find(|entry| entry.is_same(&oldest)) {
                Some(ancient) => {
                    ancient.fields.add(&oldest.fields);
                    ancient.time = ancient.time.clone().max(oldest.time);
                }
                None => self.0.push(oldest),
            }
        }
    }

    /// Prints `managedFields`; `None` if nobody owns anything.
    pub(super) fn to_json(&self) -> Option<Value> {
        let mut sorted: Vec<&Entry> = self.0.iter().collect();
        sorted.sort_by(|a, b| {
            let key = |e: &Entry| {
                (e.operation, e.time.clone(), e.manager.clone(), e.api_version.clone(), e.subresource.clone())
            };
            key(a).cmp(&key(b))
        });
        let list: Vec<Value> = sorted.into_iter().map(Entry::to_json).collect();
        if list.is_empty() { None } else { Some(Value::Array(list)) }
    }
}
