//! One step of a path into an object, in the form of FieldsV1.

use std::fmt;

use serde_json::{Map, Value};

/// One step of a path: `f:name` (a field), `k:{"key":"value"}` (an item by its keys), `v:"value"` (an item of a
/// set) or `i:0` (an item by its place). Kept in the form of the wire, which sorts as upstream does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Element(String);

impl Element {
    pub(super) fn field(name: &str) -> Self {
        Self(format!("f:{name}"))
    }

    pub(super) fn keys(keys: Map<String, Value>) -> Self {
        Self(format!("k:{}", Value::Object(keys)))
    }

    pub(super) fn value(value: &Value) -> Self {
        Self(format!("v:{value}"))
    }

    /// Reads the form of the wire. Text behind `k:` and `v:` is brought into the one form that compares.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "f" => Some(Self(text.to_owned())),
            "i" => rest.parse::<u64>().ok().map(|_| Self(text.to_owned())),
            "v" => serde_json::from_str(rest).ok().map(|value| Self::value(&value)),
            "k" => serde_json::from_str(rest).ok().map(Self::keys),
            _ => None,
        }
    }

    pub(super) fn as_field(&self) -> Option<&str> {
        self.0.strip_prefix("f:")
    }

    pub(super) fn as_text(&self) -> &str {
        &self.0
    }
}

/// As in the messages of conflicts: `.spec`, `[name="a"]`, `[="x"]`, `[0]`.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, rest) = self.0.split_once(':').unwrap_or(("f", &self.0));
        match kind {
            "k" => {
                let keys: Map<String, Value> = serde_json::from_str(rest).unwrap_or_default();
                let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
                write!(f, "[{}]", keys.join(","))
            }
            "v" => write!(f, "[={rest}]"),
            "i" => write!(f, "[{rest}]"),
            _ => write!(f, ".{rest}"),
        }
    }
}

/// Prints a path.
pub(super) fn print(path: &[Element]) -> String {
    path.iter().map(Element::to_string).collect()
}
