//! The model of a schema: one [`Node`] per place in an object, read leniently from JSON.
//!
//! Reading never fails: what is malformed is left out here and told by `structural`.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value};

use crate::rules::Rules;

/// A JSON type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

impl Kind {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "object" => Self::Object,
            "array" => Self::Array,
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            _ => return None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

/// `additionalProperties`.
#[derive(Debug, Default)]
pub(crate) enum Additional {
    /// Not given, or `false`: unknown keys are pruned.
    #[default]
    None,
    /// `true`.
    Any,
    /// A schema for every value.
    Schema(Box<Node>),
}

/// `x-kubernetes-list-type`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum ListType {
    #[default]
    Atomic,
    Set,
    /// With its keys.
    Map(Vec<String>),
}

/// The value validations of a node.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    pub(crate) format: Option<String>,
    pub(crate) allowed: Option<Vec<Value>>,
    pub(crate) minimum: Option<(f64, Value)>,
    pub(crate) exclusive_minimum: bool,
    pub(crate) maximum: Option<(f64, Value)>,
    pub(crate) exclusive_maximum: bool,
    pub(crate) multiple_of: Option<(f64, Value)>,
    pub(crate) min_length: Option<u64>,
    pub(crate) max_length: Option<u64>,
    /// Compiled, and as it was written.
    pub(crate) pattern: Option<(Regex, String)>,
    pub(crate) min_items: Option<u64>,
    pub(crate) max_items: Option<u64>,
    pub(crate) min_properties: Option<u64>,
    pub(crate) max_properties: Option<u64>,
    pub(crate) required: Vec<String>,
}

/// One place of a schema.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) kind: Option<Kind>,
    pub(crate) properties: BTreeMap<String, Node>,
    pub(crate) items: Option<Box<Node>>,
    pub(crate) additional: Additional,
    pub(crate) preserve_unknown: bool,
    pub(crate) embedded: bool,
    pub(crate) int_or_string: bool,
    pub(crate) nullable: bool,
    pub(crate) atomic_map: bool,
    pub(crate) list_type: ListType,
    pub(crate) default: Option<Value>,
    pub(crate) checks: Checks,
    pub(crate) all_of: Vec<Node>,
    pub(crate) any_of: Vec<Node>,
    pub(crate) one_of: Vec<Node>,
    pub(crate) not: Option<Box<Node>>,
    pub(crate) rules: Option<Rules>,
}

impl Node {
    pub(crate) fn read(raw: &Value) -> Self {
        Self::read_in(raw, true)
    }

    /// Rules in nested value validations are refused by `structural`; they are not compiled here.
    fn read_in(raw: &Value, with_rules: bool) -> Self {
        let Some(map) = raw.as_object() else { return Self::default() };
        let flag = |key: &str| map.get(key).and_then(Value::as_bool).unwrap_or(false);
        let text = |key: &str| map.get(key).and_then(Value::as_str);
        let nested = |key: &str| -> Vec<Node> {
            let items = map.get(key).and_then(Value::as_array);
            items.into_iter().flatten().map(|n| Self::read_in(n, false)).collect()
        };
        let properties = map.get("properties").and_then(Value::as_object);
        let additional = match map.get("additionalProperties") {
            Some(Value::Bool(true)) => Additional::Any,
            Some(schema @ Value::Object(_)) => Additional::Schema(Box::new(Self::read_in(schema, with_rules))),
            _ => Additional::None,
        };
        let list_type = match text("x-kubernetes-list-type") {
            Some("set") => ListType::Set,
            Some("map") => ListType::Map(strings(map, "x-kubernetes-list-map-keys")),
            _ => ListType::Atomic,
        };
        Self {
            kind: text("type").and_then(Kind::parse),
            properties: properties
                .into_iter()
                .flatten()
                .map(|(name, schema)| (name.clone(), Self::read_in(schema, with_rules)))
                .collect(),
            items: map.get("items").filter(|i| i.is_object()).map(|i| Box::new(Self::read_in(i, with_rules))),
            additional,
            preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            nullable: flag("nullable"),
            atomic_map: text("x-kubernetes-map-type") == Some("atomic"),
            list_type,
            default: map.get("default").cloned(),
            checks: Checks::read(map),
            all_of: nested("allOf"),
            any_of: nested("anyOf"),
            one_of: nested("oneOf"),
            not: map.get("not").filter(|n| n.is_object()).map(|n| Box::new(Self::read_in(n, false))),
            rules: with_rules.then(|| Rules::compile(raw)).flatten(),
        }
    }

    /// Returns the schema of the field or the map value `key`.
    pub(crate) fn child(&self, key: &str) -> Option<&Node> {
        self.properties.get(key).or(match &self.additional {
            Additional::Schema(node) => Some(node),
            _ => None,
        })
    }

    /// Returns whether this node or one below carries rules.
    pub(crate) fn has_rules(&self) -> bool {
        self.rules.is_some()
            || self.properties.values().any(Node::has_rules)
            || self.items.as_deref().is_some_and(Node::has_rules)
            || matches!(&self.additional, Additional::Schema(node) if node.has_rules())
    }
}

impl Checks {
    fn read(map: &Map<String, Value>) -> Self {
        let count = |key: &str| map.get(key).and_then(Value::as_u64);
        let number = |key: &str| map.get(key).and_then(|v| Some((v.as_f64()?, v.clone())));
        let flag = |key: &str| map.get(key).and_then(Value::as_bool).unwrap_or(false);
        Self {
            format: map.get("format").and_then(Value::as_str).map(str::to_owned),
            allowed: map.get("enum").and_then(Value::as_array).cloned(),
            minimum: number("minimum"),
            exclusive_minimum: flag("exclusiveMinimum"),
            maximum: number("maximum"),
            exclusive_maximum: flag("exclusiveMaximum"),
            multiple_of: number("multipleOf"),
            min_length: count("minLength"),
            max_length: count("maxLength"),
            pattern: map
                .get("pattern")
                .and_then(Value::as_str)
                .and_then(|p| Some((compile_pattern(p).ok()?, p.to_owned()))),
            min_items: count("minItems"),
            max_items: count("maxItems"),
            min_properties: count("minProperties"),
            max_properties: count("maxProperties"),
            required: strings(map, "required"),
        }
    }
}

/// Compiles a pattern as Go's RE2 reads it: Perl classes are ASCII only.
///
/// The regex crate can switch Unicode off only for patterns that cannot match invalid UTF-8;
/// where that fails, the Unicode classes are the lesser evil.
pub(crate) fn compile_pattern(pattern: &str) -> Result<Regex, regex::Error> {
    let ascii = pattern.replace(r"\d", "[0-9]").replace(r"\w", "[0-9A-Za-z_]");
    // A class inside brackets (`[\d.]`) becomes `[[0-9].]`, which the regex crate reads as a union: the same set.
    Regex::new(&ascii).or_else(|_| Regex::new(pattern))
}

fn strings(map: &Map<String, Value>, key: &str) -> Vec<String> {
    let items = map.get(key).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
