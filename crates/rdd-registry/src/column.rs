//! The columns of tables: what `kubectl get` prints.

use std::fmt;

use jiff::Timestamp;
use rdd_api::time::{format_time, parse_time};
use rdd_schema::jsonpath::JsonPath;
use serde_json::{Value, json};

/// Where a cell's value comes from.
#[derive(Clone)]
pub enum Cell {
    /// `metadata.name`.
    Name,
    /// The time since creation, as in `5m`.
    Age,
    /// The first value of a path, converted to the column's type.
    Path(JsonPath),
    /// What a function finds.
    Computed(fn(&Value, Timestamp) -> Value),
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "Name",
            Self::Age => "Age",
            Self::Path(_) => "Path",
            Self::Computed(_) => "Computed",
        })
    }
}

/// One column.
#[derive(Clone, Debug)]
pub struct Column {
    /// The heading.
    pub name: String,
    /// The type: `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: String,
    /// The OpenAPI format; `name` for the first column.
    pub format: String,
    /// What it tells.
    pub description: String,
    /// 0 is always shown, more only with `-o wide`.
    pub priority: i64,
    /// The source.
    pub cell: Cell,
}

impl Column {
    /// The first column of every table.
    pub fn name() -> Self {
        Self {
            name: "Name".to_owned(),
            kind: "string".to_owned(),
            format: "name".to_owned(),
            description: "Name must be unique within a namespace. Is required when creating resources, although some \
                          resources may allow a client to request the generation of an appropriate name automatically. \
                          Name is primarily intended for creation idempotence and configuration definition. Cannot be \
                          updated. More info: \
                          https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
                .to_owned(),
            priority: 0,
            cell: Cell::Name,
        }
    }

    /// The age of a built-in kind's objects.
    pub fn age() -> Self {
        Self {
            name: "Age".to_owned(),
            kind: "string".to_owned(),
            format: String::new(),
            description: "CreationTimestamp is a timestamp representing the server time when this object was created."
                .to_owned(),
            priority: 0,
            cell: Cell::Age,
        }
    }

    /// The moment of creation, for kinds that show it instead of their age.
    pub fn created() -> Self {
        Self { name: "Created At".to_owned(), kind: "date".to_owned(), cell: Cell::Computed(created_at), ..Self::age() }
    }

    /// A column of a built-in kind.
    pub fn computed(
        name: &str,
        kind: &str,
        priority: i64,
        description: &str,
        cell: fn(&Value, Timestamp) -> Value,
    ) -> Self {
        Self {
            name: name.to_owned(),
            kind: kind.to_owned(),
            format: String::new(),
            description: description.to_owned(),
            priority,
            cell: Cell::Computed(cell),
        }
    }

    /// Returns the cell of an object.
    pub fn cell(&self, object: &Value, now: Timestamp) -> Value {
        match &self.cell {
            Cell::Name => json!(rdd_api::object::name(object)),
            Cell::Age => json!(age(object.pointer("/metadata/creationTimestamp"), now)),
            Cell::Computed(find) => find(object, now),
            Cell::Path(path) => match first(path, object) {
                Some(value) => convert(&value, &self.kind, now),
                None => Value::Null,
            },
        }
    }
}

fn first(path: &JsonPath, object: &Value) -> Option<Value> {
    path.find(object).into_iter().next().map(|v| v.to_owned())
}

fn convert(value: &Value, kind: &str, now: Timestamp) -> Value {
    match kind {
        "string" => match value {
            Value::String(_) => value.clone(),
            Value::Null => Value::Null,
            other => json!(other.to_string()),
        },
        "integer" => match value {
            Value::Number(n) => match (n.as_i64(), n.as_f64()) {
                (Some(whole), _) => json!(whole),
                // Saturates, as a cell that is off is better than none.
                (None, Some(float)) => json!(float as i64),
                (None, None) => Value::Null,
            },
            _ => Value::Null,
        },
        "number" => value.as_f64().map_or(Value::Null, |f| json!(f)),
        "boolean" => value.as_bool().map_or(Value::Null, |b| json!(b)),
        "date" => match value {
            Value::String(_) => json!(age(Some(value), now)),
            _ => json!("<invalid>"),
        },
        _ => Value::Null,
    }
}

/// Returns the age of a time stamp as text.
pub(crate) fn age(stamp: Option<&Value>, now: Timestamp) -> String {
    match stamp {
        None | Some(Value::Null) => "<unknown>".to_owned(),
        Some(Value::String(text)) => match parse_time(text) {
            Some(at) => human_duration(now.as_second() - at.as_second()),
            None => "<invalid>".to_owned(),
        },
        Some(_) => "<invalid>".to_owned(),
    }
}

/// Returns the time stamp itself, for kinds that show `Created At`.
fn created_at(object: &Value, _now: Timestamp) -> Value {
    let stamp = object.pointer("/metadata/creationTimestamp").and_then(Value::as_str).and_then(parse_time);
    json!(stamp.map_or_else(|| "<unknown>".to_owned(), format_time))
}

/// Prints a number of seconds as people read ages: `5s`, `2m30s`, `4h`, `3d2h`, `1y20d`.
pub fn human_duration(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let two = |big: i64, big_unit: &str, small: i64, small_unit: &str| {
        if small == 0 { format!("{big}{big_unit}") } else { format!("{big}{big_unit}{small}{small_unit}") }
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_in_kubectl() {
        let cases = [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (150, "2m30s"),
            (600, "10m"),
            (10_800, "3h"),
            (12_600, "3h30m"),
            (28_800, "8h"),
            (172_800, "2d"),
            (176_400, "2d1h"),
            (691_200, "8d"),
            (63_072_000, "2y"),
            (63_158_400, "2y1d"),
            (252_288_000, "8y"),
        ];
        for (seconds, text) in cases {
            assert_eq!(human_duration(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn cells_have_their_columns_type() {
        let now: Timestamp = "2025-01-01T00:05:00Z".parse().expect("a time");
        let cases = [
            (json!("a"), "string", json!("a")),
            (json!({"a": 1}), "string", json!("{\"a\":1}")),
            (json!(3), "integer", json!(3)),
            (json!(3.7), "integer", json!(3)),
            (json!("3"), "integer", Value::Null),
            (json!(true), "boolean", json!(true)),
            (json!("true"), "boolean", Value::Null),
            (json!("2025-01-01T00:00:00Z"), "date", json!("5m")),
            (json!("then"), "date", json!("<invalid>")),
        ];
        for (value, kind, expect) in cases {
            assert_eq!(convert(&value, kind, now), expect, "{value} as {kind}");
        }
    }
}
