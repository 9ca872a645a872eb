//! Printing what a template found.

use std::borrow::Cow;

use serde_json::Value;

/// The results of one action, with blanks between them.
pub(super) fn joined(results: &[Cow<'_, Value>]) -> String {
    results.iter().map(|v| one(v)).collect::<Vec<_>>().join(" ")
}

pub(super) fn one(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(n) => match n.as_f64() {
            // Go prints whole floats without a fraction.
            Some(f) if n.is_f64() && f.fract() == 0.0 && f.abs() < 1e21 => format!("{f:.0}"),
            _ => n.to_string(),
        },
        other => other.to_string(),
    }
}
