//! Where lists merge by a key, asked step by step from the root of an object.

use serde_json::Value;

/// How the list in a field is patched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListStrategy {
    /// The patch's list replaces the object's.
    Atomic,
    /// Objects that merge by this key.
    ByKey(String),
    /// Scalars that merge as a set.
    AsSet,
}

/// Knows the patch strategies at one place of an object.
pub trait MergeKeys {
    /// Returns how the list in the field `name` is patched.
    fn list(&self, name: &str) -> ListStrategy;
    /// Returns whether the field's map is replaced unless the patch lists the keys to retain (`retainKeys` strategy).
    fn retains_keys(&self, _name: &str) -> bool {
        false
    }
    /// Returns what is known below the field `name`: of the map that it holds, or of its list's items.
    fn below(&self, name: &str) -> Box<dyn MergeKeys + '_>;
}

/// Knows nothing: every list is replaced. For custom resources, and below scalars.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMergeKeys;

impl MergeKeys for NoMergeKeys {
    fn list(&self, _name: &str) -> ListStrategy {
        ListStrategy::Atomic
    }

    fn below(&self, _name: &str) -> Box<dyn MergeKeys + '_> {
        Box::new(NoMergeKeys)
    }
}

/// Reads `x-kubernetes-patch-strategy` and `x-kubernetes-patch-merge-key` from an OpenAPI schema.
#[derive(Clone, Copy, Debug)]
pub struct SchemaKeys<'a> {
    schema: &'a Value,
    document: Option<&'a Value>,
}

impl<'a> SchemaKeys<'a> {
    /// Reads a schema without references.
    pub fn new(schema: &'a Value) -> Self {
        Self { schema, document: None }.resolved()
    }

    /// Reads a schema whose `$ref`s point into `document` (a served OpenAPI document, v2 or v3).
    pub fn within(schema: &'a Value, document: &'a Value) -> Self {
        Self { schema, document: Some(document) }.resolved()
    }

    /// Follows `$ref` and the `allOf` around a single one, which OpenAPI v3 uses to give a reference a description.
    fn resolved(mut self) -> Self {
        // A document may be malicious or broken; references in a circle end here.
        for _ in 0..16 {
            let alone = self.schema.get("allOf").and_then(Value::as_array).filter(|a| a.len() == 1).map(|a| &a[0]);
            let holder = alone.unwrap_or(self.schema);
            let target = holder.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix('#'));
            match target.and_then(|pointer| self.document?.pointer(pointer)) {
                Some(schema) => self.schema = schema,
                None => break,
            }
        }
        self
    }

    fn at(&self, schema: &'a Value) -> Self {
        Self { schema, document: self.document }.resolved()
    }

    fn property(&self, name: &str) -> Option<&'a Value> {
        self.schema
            .get("properties")
            .and_then(|p| p.get(name))
            .or_else(|| self.schema.get("additionalProperties").filter(|a| a.is_object()))
    }

    fn has_strategy(&self, name: &str, strategy: &str) -> bool {
        let text = self.property(name).and_then(|p| p.get("x-kubernetes-patch-strategy")).and_then(Value::as_str);
        text.is_some_and(|t| t.split(',').any(|s| s.trim() == strategy))
    }
}

impl MergeKeys for SchemaKeys<'_> {
    fn list(&self, name: &str) -> ListStrategy {
        if !self.has_strategy(name, "merge") {
            return ListStrategy::Atomic;
        }
        let key = self.property(name).and_then(|p| p.get("x-kubernetes-patch-merge-key")).and_then(Value::as_str);
        match key {
            Some(key) => ListStrategy::ByKey(key.to_owned()),
            None => ListStrategy::AsSet,
        }
    }

    fn retains_keys(&self, name: &str) -> bool {
        self.has_strategy(name, "retainKeys")
    }

    fn below(&self, name: &str) -> Box<dyn MergeKeys + '_> {
        let Some(property) = self.property(name) else { return Box::new(NoMergeKeys) };
        let property = self.at(property);
        match property.schema.get("items") {
            Some(items) => Box::new(property.at(items)),
            None => Box::new(property),
        }
    }
}
