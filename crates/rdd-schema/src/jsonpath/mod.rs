//! kubectl's JSONPath: `-o jsonpath` templates and the paths of printer columns.
//!
//! After `k8s.io/client-go/util/jsonpath`, quirks included: `$` and `@` both mean the current
//! object, a dot in `['a\.b']` needs its backslash, an index out of bounds is an error even where
//! missing keys are not. Maps are walked in the order of their keys (Go's order is random).

mod eval;
mod parse;
mod print;

use serde_json::Value;

/// A template or a path that cannot be read or followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonPathError(pub String);

/// What a path into nowhere means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingKeys {
    /// Nothing is found: printer columns, `kubectl get`.
    Allowed,
    /// An error: `kubectl wait`.
    Refused,
}

/// A parsed template.
#[derive(Clone, Debug)]
pub struct JsonPath {
    parts: Vec<parse::Part>,
}

impl JsonPath {
    /// Reads a template as `kubectl -o jsonpath=` takes it: text, and actions in braces.
    pub fn parse_kubectl(template: &str) -> Result<Self, JsonPathError> {
        parse::template(template).map(|parts| Self { parts }).map_err(JsonPathError)
    }

    /// Reads one path: of a printer column (`.spec.x`), of `kubectl wait`, of custom columns. Braces and the
    /// leading dot may be left out.
    pub fn parse_column(path: &str) -> Result<Self, JsonPathError> {
        let path = path.trim();
        let path = path.strip_prefix('{').and_then(|p| p.strip_suffix('}')).unwrap_or(path);
        let dot = if path.is_empty() || path.starts_with(['.', '[', '$', '@']) { "" } else { "." };
        Self::parse_kubectl(&format!("{{{dot}{path}}}"))
    }

    /// Returns what the template's paths find; missing keys and bad indices find nothing.
    pub fn find<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        self.try_find(value, MissingKeys::Allowed).unwrap_or_default()
    }

    /// Returns what the template's paths find, or why they find nothing.
    pub fn try_find<'v>(&self, value: &'v Value, missing: MissingKeys) -> Result<Vec<&'v Value>, JsonPathError> {
        let results = eval::results(&self.parts, value, missing).map_err(JsonPathError)?;
        let borrowed = |found| match found {
            std::borrow::Cow::Borrowed(value) => Some(value),
            std::borrow::Cow::Owned(_) => None,
        };
        Ok(results.into_iter().flatten().filter_map(borrowed).collect())
    }

    /// Prints the template for a value.
    pub fn print(&self, value: &Value, missing: MissingKeys) -> Result<String, JsonPathError> {
        let results = eval::results(&self.parts, value, missing).map_err(JsonPathError)?;
        Ok(results.iter().map(|r| print::joined(r)).collect())
    }
}

/// Prints one value as a template does: texts bare, containers as compact JSON.
pub fn print_value(value: &Value) -> String {
    print::one(value)
}

#[cfg(test)]
mod tests;
