//! KYAML, the dialect of YAML in which nothing is guessed: braces, brackets, and quotes around every text
//! (`sigs.k8s.io/yaml/kyaml`, as kubectl 1.35 prints it).

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Prints a value as a document of its own: `---`, the value, a newline.
pub fn print_kyaml(value: &Value) -> String {
    let mut out = "---\n".to_owned();
    node(value, 0, &mut out);
    out.push('\n');
    out
}

fn node(value: &Value, level: usize, out: &mut String) {
    match value {
        Value::Object(map) => object(map, level, out),
        Value::Array(items) => array(items, level, out),
        Value::String(s) => text(s, level, out),
        Value::Number(n) => number(n, out),
        Value::Bool(_) | Value::Null => {
            let _ = write!(out, "{value}");
        }
    }
}

fn indent(level: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", level));
}

fn object(map: &Map<String, Value>, level: usize, out: &mut String) {
    if map.is_empty() {
        return out.push_str("{}");
    }
    out.push_str("{\n");
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    for (key, value) in entries {
        indent(level + 1, out);
        if is_plain_key(key) {
            out.push_str(key);
        } else {
            quoted(key, out);
        }
        out.push_str(": ");
        node(value, level + 1, out);
        out.push_str(",\n");
    }
    indent(level, out);
    out.push('}');
}

fn array(items: &[Value], level: usize, out: &mut String) {
    // Brackets that would follow each other share a line.
    if items.iter().all(|item| item.is_object() || item.is_array()) {
        out.push('[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                out.push_str(", ");
            }
            node(item, level, out);
        }
    } else {
        out.push_str("[\n");
        for item in items {
            indent(level + 1, out);
            node(item, level + 1, out);
            out.push_str(",\n");
        }
        indent(level, out);
    }
    out.push(']');
}

/// As Go prints numbers in JSON.
fn number(n: &serde_json::Number, out: &mut String) {
    let _ = match n.as_f64().filter(|f| n.is_f64() && *f != 0.0) {
        Some(f) if (1e-6..1e21).contains(&f.abs()) => write!(out, "{f}"),
        Some(f) if f.abs() < 1.0 => write!(out, "{f:e}"),
        Some(f) => write!(out, "{}", format!("{f:e}").replace('e', "e+")),
        None => write!(out, "{n}"),
    };
}

/// Is a key without quotes a string to every reader?
fn is_plain_key(key: &str) -> bool {
    const WORDS: [&str; 11] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "t", "f"];
    key.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
        && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(key))
}

/// Writes a text; one of several lines with a line of its own for each, all starting in one column.
fn text(text: &str, level: usize, out: &mut String) {
    if !text.contains('\n') {
        return quoted(text, out);
    }
    out.push_str("\"\\\n");
    for line in text.split_inclusive('\n') {
        indent(level + 1, out);
        // A reader drops the blanks at the start of a line, unless they are escaped.
        out.push(if line.starts_with([' ', '\t']) { '\\' } else { ' ' });
        escaped(line, out);
        out.push_str("\\\n");
    }
    indent(level + 1, out);
    out.push('"');
}

fn quoted(text: &str, out: &mut String) {
    out.push('"');
    escaped(text, out);
    out.push('"');
}

fn escaped(text: &str, out: &mut String) {
    for c in text.chars() {
        let short = match c {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\n' => "\\n",
            '\r' => "\\r",
            '\0' => "\\0",
            '\u{7}' => "\\a",
            '\u{8}' => "\\b",
            '\u{b}' => "\\v",
            '\u{c}' => "\\f",
            '\u{1b}' => "\\e",
            '\u{85}' => "\\N",
            '\u{a0}' => "\\_",
            '\u{2028}' => "\\L",
            '\u{2029}' => "\\P",
            '\u{feff}' => "\\uFEFF",
            '\t' | '\u{10000}'.. => {
                out.push(c);
                continue;
            }
            c if c.is_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
                continue;
            }
            c => {
                out.push(c);
                continue;
            }
        };
        out.push_str(short);
    }
}
