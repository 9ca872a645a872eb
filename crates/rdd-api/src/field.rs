//! Field errors: what is wrong with one field of an object.
//!
//! Their texts are read by people and by scripts; the wording is that of
//! `k8s.io/apimachinery/pkg/util/validation/field` (apiserver specification §8).

use std::fmt;

use serde_json::Value;

/// The class of a field error. Its text is the `reason` of a [`Cause`](crate::Cause).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldErrorKind {
    /// A value that must be there is missing.
    Required,
    /// The value is malformed or out of bounds.
    Invalid,
    /// The value has the wrong JSON type.
    TypeInvalid,
    /// The value is none of an enumeration's.
    NotSupported,
    /// The value stands twice where it may stand once.
    Duplicate,
    /// The field may not be set, or not be changed.
    Forbidden,
    /// The value has too many bytes or characters.
    TooLong,
    /// The list or map has too many entries.
    TooMany,
    /// The value names something that does not exist.
    NotFound,
    /// Our own mistake.
    Internal,
}

impl FieldErrorKind {
    /// Returns the cause's `reason` on the wire.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::NotFound => "FieldValueNotFound",
            Self::Internal => "InternalError",
        }
    }
}

/// One thing wrong with one field.
///
/// `Display` prints `path: text`, as inside a `Status` message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The class.
    pub kind: FieldErrorKind,
    /// The path, as in `spec.list[0].map[key].x`; empty for the whole object.
    pub field: String,
    /// The text without the path, as in `Invalid value: "x": must be even`.
    pub message: String,
}

impl FieldError {
    fn new(kind: FieldErrorKind, field: impl Into<String>, message: String) -> Self {
        Self { kind, field: field.into(), message }
    }

    /// A missing value; `detail` may be empty.
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        Self::new(FieldErrorKind::Required, field, with_detail("Required value", detail))
    }

    /// A malformed or out-of-bounds value.
    pub fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        let text = format!("Invalid value: {}", print_value(value));
        Self::new(FieldErrorKind::Invalid, field, with_detail(&text, detail))
    }

    /// A value of the wrong JSON type.
    pub fn type_invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        let text = format!("Invalid value: {}", print_value(value));
        Self::new(FieldErrorKind::TypeInvalid, field, with_detail(&text, detail))
    }

    /// A value outside an enumeration.
    pub fn not_supported<S: AsRef<str>>(field: impl Into<String>, value: &Value, supported: &[S]) -> Self {
        let mut text = format!("Unsupported value: {}", print_value(value));
        if !supported.is_empty() {
            let quoted: Vec<String> = supported.iter().map(|s| quote(s.as_ref())).collect();
            text.push_str(": supported values: ");
            text.push_str(&quoted.join(", "));
        }
        Self::new(FieldErrorKind::NotSupported, field, text)
    }

    /// A value that stands twice.
    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self::new(FieldErrorKind::Duplicate, field, format!("Duplicate value: {}", print_value(value)))
    }

    /// A field that may not be set or changed.
    pub fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self::new(FieldErrorKind::Forbidden, field, with_detail("Forbidden", detail))
    }

    /// A value over `limit` bytes.
    pub fn too_long(field: impl Into<String>, limit: usize) -> Self {
        Self::new(FieldErrorKind::TooLong, field, format!("Too long: may not be more than {limit} bytes"))
    }

    /// A list or map of `actual` entries where `limit` are allowed.
    pub fn too_many(field: impl Into<String>, actual: usize, limit: usize) -> Self {
        Self::new(FieldErrorKind::TooMany, field, format!("Too many: {actual}: must have at most {limit} items"))
    }

    /// A value that names something that does not exist.
    pub fn not_found(field: impl Into<String>, value: &Value) -> Self {
        Self::new(FieldErrorKind::NotFound, field, format!("Not found: {}", print_value(value)))
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            write!(f, "<nil>: {}", self.message)
        } else {
            write!(f, "{}: {}", self.field, self.message)
        }
    }
}

impl std::error::Error for FieldError {}

fn with_detail(text: &str, detail: &str) -> String {
    if detail.is_empty() { text.to_owned() } else { format!("{text}: {detail}") }
}

/// Quotes a string as Go's `%q` does for printable text.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn print_value(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_upstreams() {
        let cases = [
            (FieldError::required("spec.foo", ""), "spec.foo: Required value"),
            (
                FieldError::invalid("spec.n", &json!(0), "must be positive"),
                "spec.n: Invalid value: 0: must be positive",
            ),
            (
                FieldError::not_supported("scope", &json!("x"), &["Cluster", "Namespaced"]),
                r#"scope: Unsupported value: "x": supported values: "Cluster", "Namespaced""#,
            ),
            (FieldError::duplicate("l[1]", &json!({"name": "a"})), r#"l[1]: Duplicate value: {"name":"a"}"#),
            (FieldError::forbidden("data", "field is immutable"), "data: Forbidden: field is immutable"),
            (FieldError::too_many("l", 3, 2), "l: Too many: 3: must have at most 2 items"),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
        }
    }
}
