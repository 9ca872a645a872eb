//! What a schema says about how values merge.

use serde_json::{Map, Value};

use super::element::Element;

/// A place of a schema. Where a schema says nothing, values tell: objects merge by their keys, all else is a leaf.
#[derive(Clone, Copy, Debug)]
pub struct Type<'a> {
    schema: Option<&'a Value>,
    object_meta: &'a Value,
    /// `apiVersion`, `kind` and `metadata` are there without being declared.
    is_object: bool,
}

/// How a value merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// As a whole: a scalar, an atomic list or an atomic map.
    Leaf,
    /// By its fields or keys.
    Map,
    /// A list of values of which each stands once.
    Set,
    /// A list whose items are known by their keys.
    Items,
}

static NOTHING: Value = Value::Null;

impl<'a> Type<'a> {
    /// The type of a kind's objects: its schema (without references), and the schema of ObjectMeta.
    pub fn of_object(schema: &'a Value, object_meta: &'a Value) -> Self {
        Self { schema: Some(schema), object_meta, is_object: true }
    }

    fn text(&self, key: &str) -> &'a str {
        self.schema.and_then(|s| s.get(key)).and_then(Value::as_str).unwrap_or_default()
    }

    fn flag(&self, key: &str) -> bool {
        self.schema.and_then(|s| s.get(key)) == Some(&Value::Bool(true))
    }

    fn part(&self, key: &str) -> Option<&'a Value> {
        self.schema.and_then(|s| s.get(key)).filter(|part| part.is_object())
    }

    fn at(&self, schema: Option<&'a Value>) -> Self {
        let is_object = schema.and_then(|s| s.get("x-kubernetes-embedded-resource")) == Some(&Value::Bool(true));
        Self { schema, object_meta: self.object_meta, is_object }
    }

    /// Returns whether values alone tell how they merge.
    fn is_deduced(&self) -> bool {
        match self.text("type") {
            "" => !self.is_object,
            // Nothing is known of what is inside.
            "object" => !self.is_object && self.part("properties").is_none() && self.schema_of_keys().is_none(),
            _ => self.flag("x-kubernetes-int-or-string"),
        }
    }

    fn schema_of_keys(&self) -> Option<&'a Value> {
        self.schema.and_then(|s| s.get("additionalProperties")).filter(|a| **a != Value::Bool(false))
    }

    /// Returns how a value of this type merges.
    pub(super) fn shape(&self, value: &Value) -> Shape {
        if self.is_deduced() {
            return if value.is_object() { Shape::Map } else { Shape::Leaf };
        }
        match self.text("type") {
            "array" if value.is_array() || value.is_null() => match self.text("x-kubernetes-list-type") {
                "set" => Shape::Set,
                "map" => Shape::Items,
                _ => Shape::Leaf,
            },
            "object" | "" if value.is_object() || value.is_null() => match self.text("x-kubernetes-map-type") {
                "atomic" => Shape::Leaf,
                _ => Shape::Map,
            },
            _ => Shape::Leaf,
        }
    }

    /// Returns the JSON type that a value must have, where the schema says so.
    pub(super) fn wanted(&self) -> &'a str {
        if self.is_deduced() { "" } else { self.text("type") }
    }

    /// Returns whether a field is declared by name.
    pub(super) fn declares(&self, name: &str) -> bool {
        (self.is_object && matches!(name, "apiVersion" | "kind" | "metadata"))
            || self.part("properties").is_some_and(|p| p.get(name).is_some())
    }

    /// Returns whether a field may be there at all.
    pub(super) fn takes(&self, name: &str) -> bool {
        self.is_deduced()
            || self.declares(name)
            || self.schema_of_keys().is_some()
            || self.flag("x-kubernetes-preserve-unknown-fields")
    }

    /// Returns the type of a field or of a key's value.
    pub(super) fn field(&self, name: &str) -> Self {
        if self.is_object {
            match name {
                "metadata" => return self.at(Some(self.object_meta)),
                "apiVersion" | "kind" => return self.at(Some(&NOTHING)),
                _ => {}
            }
        }
        let declared = self.part("properties").and_then(|p| p.get(name));
        self.at(declared.or_else(|| self.part("additionalProperties")))
    }

    /// Returns the type of a list's items.
    pub(super) fn item(&self) -> Self {
        self.at(self.part("items"))
    }

    /// Returns the path element of a list's item; an error says what is wrong with the item.
    pub(super) fn element(&self, shape: Shape, item: &Value) -> Result<Element, String> {
        if shape == Shape::Set {
            return Ok(Element::value(item));
        }
        let names = self.schema.and_then(|s| s.get("x-kubernetes-list-map-keys")).and_then(Value::as_array);
        let properties = self.part("items").and_then(|items| items.get("properties"));
        let mut keys = Map::new();
        for name in names.into_iter().flatten().filter_map(Value::as_str) {
            let default = || properties.and_then(|p| p.get(name)).and_then(|p| p.get("default"));
            match item.get(name).filter(|value| !value.is_null()).or_else(default) {
                Some(value) => keys.insert(name.to_owned(), value.clone()),
                None => {
                    return Err(format!(
                        "associative list with keys has an element that omits key field {name:?} (and doesn't have \
                         default value)"
                    ));
                }
            };
        }
        Ok(Element::keys(keys))
    }
}
