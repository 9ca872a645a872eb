//! `-o custom-columns`.

use rdd_schema::jsonpath::{JsonPath, print_value};
use serde_json::Value;

use super::align_rows;
use crate::failure::Failure;

/// The columns asked for.
#[derive(Clone, Debug)]
pub(crate) struct CustomColumns {
    columns: Vec<(String, JsonPath)>,
    no_headers: bool,
}

impl CustomColumns {
    /// Reads `NAME:.metadata.name,RSRC:.kind`.
    pub(crate) fn parse(spec: &str, no_headers: bool) -> Result<Self, Failure> {
        let mut columns = Vec::new();
        for part in spec.split(',') {
            let Some((header, path)) = part.split_once(':').filter(|(h, p)| !h.is_empty() && !p.is_empty()) else {
                return Err(Failure::message(format!(
                    "unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>"
                )));
            };
            columns.push((header.to_owned(), column(path)?));
        }
        Ok(Self { columns, no_headers })
    }

    /// Reads a line of headers and a line of paths.
    pub(crate) fn parse_file(text: &str, no_headers: bool) -> Result<Self, Failure> {
        let mut lines = text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>());
        let (headers, paths) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        if headers.is_empty() || headers.len() != paths.len() {
            let text =
                format!("number of headers ({}) and field specifications ({}) don't match", headers.len(), paths.len());
            return Err(Failure::message(text));
        }
        let mut columns = Vec::new();
        for (header, path) in headers.into_iter().zip(paths) {
            columns.push((header.to_owned(), column(path)?));
        }
        Ok(Self { columns, no_headers })
    }

    /// Prints an object or a list.
    pub(crate) fn print(&self, object: &Value, is_first: bool) -> Result<String, Failure> {
        let mut rows = Vec::new();
        if is_first && !self.no_headers {
            rows.push(self.columns.iter().map(|(header, _)| header.clone()).collect());
        }
        let one = std::slice::from_ref(object);
        for item in object["items"].as_array().map_or(one, Vec::as_slice) {
            rows.push(self.columns.iter().map(|(_, path)| cell(path, item)).collect());
        }
        Ok(align_rows(&rows, &mut Vec::new()))
    }
}

fn column(path: &str) -> Result<JsonPath, Failure> {
    JsonPath::parse_column(path).map_err(|error| Failure::message(error.to_string()))
}

fn cell(path: &JsonPath, object: &Value) -> String {
    let texts: Vec<String> = path.find(object).into_iter().filter(|v| !v.is_null()).map(go_print).collect();
    if texts.is_empty() { "<none>".to_owned() } else { texts.join(",") }
}

/// Prints as Go's `%v`, which columns use for maps and lists.
fn go_print(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(go_print).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let pairs: Vec<String> = map.iter().map(|(k, v)| format!("{k}:{}", go_print(v))).collect();
            format!("map[{}]", pairs.join(" "))
        }
        Value::Null => "<nil>".to_owned(),
        other => print_value(other),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells() {
        let object = json!({"metadata": {"name": "a", "labels": {"x": "1", "y": "2"}}, "l": [1, "b"]});
        let check = |spec: &str, expect: &str| {
            let columns = CustomColumns::parse(spec, true).expect(spec);
            assert_eq!(columns.print(&object, true).expect(spec), expect);
        };
        check("N:.metadata.name", "a\n");
        check("N:metadata.name,M:{.nothing}", "a     <none>\n");
        check("L:.metadata.labels", "map[x:1 y:2]\n");
        check("L:.l", "[1 b]\n");
        check("L:.l[*]", "1,b\n");
        let error = CustomColumns::parse("N", true).expect_err("no path");
        assert_eq!(error.to_string(), "unexpected custom-columns spec: N, expected <header>:<json-path-expr>");
    }
}
