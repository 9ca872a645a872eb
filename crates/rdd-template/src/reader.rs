//! Reads typed fields out of a YAML tree and remembers what was wrong and what was left over.
//!
//! Hand-written instead of derived, because one reading must report every wrong type with its path,
//! and every unknown key as a warning, while numbers, booleans and texts stand in for each other
//! where Lima's own reader lets them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::problem::Problems;

/// What a reading found besides the values.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Values of a wrong type.
    pub(crate) problems: Problems,
    /// Keys that nobody asked for.
    pub(crate) warnings: Vec<String>,
}

/// A value and where it stands.
pub(crate) struct Node<'a> {
    value: &'a Value,
    path: String,
    findings: &'a RefCell<Findings>,
}

/// A mapping whose keys are read one by one.
pub(crate) struct Fields<'a> {
    map: Option<&'a Map<String, Value>>,
    path: String,
    findings: &'a RefCell<Findings>,
    asked: BTreeSet<&'static str>,
}

impl<'a> Node<'a> {
    /// Returns the root of a document.
    pub(crate) fn root(value: &'a Value, findings: &'a RefCell<Findings>) -> Self {
        Self { value, path: String::new(), findings }
    }

    fn wrong(&self, expected: &str) {
        self.findings
            .borrow_mut()
            .problems
            .add(&self.path, format!("must be {expected}, got {}", describe(self.value)));
    }

    /// Returns the value as a text; numbers and booleans are texts too.
    pub(crate) fn text(&self) -> Option<String> {
        let text = scalar(self.value);
        if text.is_none() && !self.value.is_null() {
            self.wrong("a text");
        }
        text
    }

    /// Returns the value as a text if it is one; used for shorthand forms.
    pub(crate) fn shorthand(&self) -> Option<String> {
        self.value.as_str().map(str::to_owned)
    }

    fn flag(&self) -> Option<bool> {
        match self.value {
            Value::Null => None,
            Value::Bool(flag) => Some(*flag),
            Value::String(text) if text == "true" => Some(true),
            Value::String(text) if text == "false" => Some(false),
            _ => {
                self.wrong("true or false");
                None
            }
        }
    }

    /// Returns the value as a whole number.
    pub(crate) fn whole(&self) -> Option<i64> {
        if self.value.is_null() {
            return None;
        }
        let number = self.value.as_i64().or_else(|| self.value.as_str()?.parse().ok());
        if number.is_none() {
            self.wrong("a whole number");
        }
        number
    }

    fn list(&self) -> Vec<Node<'a>> {
        match self.value {
            Value::Null => Vec::new(),
            Value::Array(values) => values
                .iter()
                .enumerate()
                .map(|(i, value)| Node { value, path: format!("{}[{i}]", self.path), findings: self.findings })
                .collect(),
            _ => {
                self.wrong("a list");
                Vec::new()
            }
        }
    }

    /// Returns whether the value is more than a way of saying "not this".
    fn says_something(&self) -> bool {
        match self.value {
            Value::Null | Value::Bool(false) => false,
            Value::String(text) => !text.is_empty() && text != "false",
            Value::Array(values) => !values.is_empty(),
            Value::Object(fields) => !fields.is_empty(),
            Value::Bool(true) | Value::Number(_) => true,
        }
    }

    /// Reads the value as a mapping; keys that `read` does not ask for become warnings.
    pub(crate) fn object<T>(&self, read: impl FnOnce(&mut Fields<'a>) -> T) -> T {
        if !self.value.is_object() && !self.value.is_null() {
            self.wrong("a mapping");
        }
        let mut fields = Fields {
            map: self.value.as_object(),
            path: self.path.clone(),
            findings: self.findings,
            asked: BTreeSet::new(),
        };
        let read = read(&mut fields);
        fields.report_unknown();
        read
    }
}

impl<'a> Fields<'a> {
    fn key_path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Returns the value of a key; `None` if it is absent or null.
    pub(crate) fn node(&mut self, key: &'static str) -> Option<Node<'a>> {
        self.asked.insert(key);
        let value = self.map?.get(key).filter(|value| !value.is_null())?;
        Some(Node { value, path: self.key_path(key), findings: self.findings })
    }

    /// Returns a text.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<String> {
        self.node(key)?.text()
    }

    /// Returns a boolean.
    pub(crate) fn flag(&mut self, key: &'static str) -> Option<bool> {
        self.node(key)?.flag()
    }

    /// Returns a whole number.
    pub(crate) fn integer(&mut self, key: &'static str) -> Option<i64> {
        self.node(key)?.whole()
    }

    /// Returns the entries of a list.
    pub(crate) fn list<T>(&mut self, key: &'static str, read: impl Fn(Node<'a>) -> T) -> Vec<T> {
        self.node(key).map(|node| node.list().into_iter().map(read).collect()).unwrap_or_default()
    }

    /// Returns a list of texts.
    pub(crate) fn texts(&mut self, key: &'static str) -> Vec<String> {
        self.list(key, |node| node.text()).into_iter().flatten().collect()
    }

    /// Returns a mapping of texts, in the order of their keys.
    pub(crate) fn text_map(&mut self, key: &'static str) -> BTreeMap<String, String> {
        let Some(node) = self.node(key) else { return BTreeMap::new() };
        let Some(map) = node.value.as_object() else {
            node.wrong("a mapping");
            return BTreeMap::new();
        };
        let entry = |(key, value): (&String, &'a Value)| {
            let path = format!("{}.{key}", node.path);
            let text = if value.is_null() {
                Some(String::new())
            } else {
                Node { value, path, findings: node.findings }.text()
            };
            Some((key.clone(), text?))
        };
        map.iter().filter_map(entry).collect()
    }

    /// Reads a nested mapping; an absent one reads as empty.
    pub(crate) fn object<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Fields<'a>) -> T) -> T {
        match self.node(key) {
            Some(node) => node.object(read),
            None => {
                let path = self.key_path(key);
                read(&mut Fields { map: None, path, findings: self.findings, asked: BTreeSet::new() })
            }
        }
    }

    /// Marks keys as known, and warns of those that are set to something: nothing acts on them here.
    pub(crate) fn without_effect(&mut self, keys: &[&'static str]) {
        for key in keys {
            if self.node(key).is_some_and(|node| node.says_something()) {
                let warning = format!("field `{}` has no effect", self.key_path(key));
                self.findings.borrow_mut().warnings.push(warning);
            }
        }
    }

    /// Marks keys as known that are not read.
    pub(crate) fn skip(&mut self, keys: &[&'static str]) {
        self.asked.extend(keys);
    }

    fn report_unknown(&self) {
        for key in self.map.into_iter().flat_map(Map::keys).filter(|key| !self.asked.contains(key.as_str())) {
            let warning = format!("unknown field `{}`", self.key_path(key));
            self.findings.borrow_mut().warnings.push(warning);
        }
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "a mapping".into(),
        Value::Null => "nothing".into(),
        Value::String(text) => format!("{text:?}"),
        other => other.to_string(),
    }
}
