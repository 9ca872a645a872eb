//! The server's tables, as `get` prints them.

use serde_json::{Value, json};

use super::align_rows;
use super::sort::SortBy;
use crate::duration::human;
use crate::failure::Failure;

/// How tables look.
#[derive(Clone, Debug, Default)]
pub(crate) struct TableOptions {
    pub(crate) wide: bool,
    pub(crate) no_headers: bool,
    pub(crate) show_labels: bool,
    pub(crate) label_columns: Vec<String>,
}

/// Prints tables of one resource below each other.
#[derive(Debug)]
pub(crate) struct TablePrinter {
    options: TableOptions,
    with_namespace: bool,
    /// Goes before each name, as in `configmap`.
    with_kind: Option<String>,
    has_headers: bool,
    rows: Vec<Vec<String>>,
    widths: Vec<usize>,
    columns: Vec<Value>,
}

impl TablePrinter {
    /// Begins a table.
    pub(crate) fn new(options: &TableOptions, with_namespace: bool, with_kind: Option<String>) -> Self {
        let has_headers = options.no_headers;
        let (rows, widths, columns) = Default::default();
        Self { options: options.clone(), with_namespace, with_kind, has_headers, rows, widths, columns }
    }

    /// Adds the rows of a table. `event` goes before each, in a watch that shows its events.
    pub(crate) fn add(&mut self, table: &Value, sort: Option<&SortBy>, event: Option<&str>) -> Result<(), Failure> {
        if let Some(columns) = table["columnDefinitions"].as_array().filter(|c| !c.is_empty()) {
            self.columns.clone_from(columns);
        }
        let mut rows: Vec<&Value> = table["rows"].as_array().into_iter().flatten().collect();
        if rows.is_empty() {
            return Ok(());
        }
        if let Some(sort) = sort {
            sort.sort(&mut rows, |row| &row["object"])?;
        }
        if !self.has_headers {
            self.rows.push(self.headers(event.is_some()));
            self.has_headers = true;
        }
        for row in rows {
            self.rows.push(self.row(row, event));
        }
        Ok(())
    }

    /// Returns what was added, aligned.
    pub(crate) fn flush(&mut self) -> String {
        align_rows(&std::mem::take(&mut self.rows), &mut self.widths)
    }

    fn is_shown(&self, column: &Value) -> bool {
        self.options.wide || column["priority"].as_i64().unwrap_or_default() == 0
    }

    fn headers(&self, with_event: bool) -> Vec<String> {
        let mut headers = Vec::new();
        if with_event {
            headers.push("EVENT".to_owned());
        }
        if self.with_namespace {
            headers.push("NAMESPACE".to_owned());
        }
        let shown = self.columns.iter().filter(|c| self.is_shown(c));
        headers.extend(shown.map(|c| c["name"].as_str().unwrap_or_default().to_uppercase()));
        let last_step = |label: &String| label.rsplit('/').next().unwrap_or_default().to_uppercase();
        headers.extend(self.options.label_columns.iter().map(last_step));
        if self.options.show_labels {
            headers.push("LABELS".to_owned());
        }
        headers
    }

    fn row(&self, row: &Value, event: Option<&str>) -> Vec<String> {
        let object = &row["object"];
        let mut cells: Vec<String> = event.map(str::to_owned).into_iter().collect();
        if self.with_namespace {
            cells.push(rdd_api::object::namespace(object).to_owned());
        }
        let is_name = |column: &Value| column["format"] == "name";
        let mut is_first = true;
        for (column, value) in self.columns.iter().zip(row["cells"].as_array().into_iter().flatten()) {
            if !self.is_shown(column) {
                is_first = false;
                continue;
            }
            let text = cell(value);
            cells.push(match &self.with_kind {
                Some(kind) if is_name(column) || (is_first && column["name"] == "Name") => format!("{kind}/{text}"),
                _ => text,
            });
            is_first = false;
        }
        let labels = &object["metadata"]["labels"];
        for name in &self.options.label_columns {
            cells.push(labels[name.as_str()].as_str().unwrap_or_default().to_owned());
        }
        if self.options.show_labels {
            cells.push(format_labels(labels));
        }
        cells
    }
}

/// Returns labels as `a=b,c=d`, or `<none>`.
pub(crate) fn format_labels(labels: &Value) -> String {
    let pairs: Vec<String> = labels
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => {
            let line = text.split(['\u{c}', '\n', '\r']).next().unwrap_or_default();
            let line = line.replace('\u{1b}', "^[");
            if line.len() < text.len() && text.contains(['\u{c}', '\n', '\r']) { format!("{line}...") } else { line }
        }
        other => other.to_string(),
    }
}

/// Makes a table of an object or a list that the server did not make one of.
pub(crate) fn generic_table(answer: &Value) -> Value {
    if answer["kind"] == "Table" {
        return answer.clone();
    }
    let one = std::slice::from_ref(answer);
    let rows: Vec<Value> = answer["items"]
        .as_array()
        .map_or(one, Vec::as_slice)
        .iter()
        .map(|object| json!({"cells": [rdd_api::object::name(object), age(object)], "object": object}))
        .collect();
    json!({
        "columnDefinitions": [{"name": "Name", "format": "name"}, {"name": "Age"}],
        "rows": rows,
        "metadata": answer["metadata"],
    })
}

/// Returns how old an object is.
pub(crate) fn age(object: &Value) -> String {
    since(object["metadata"]["creationTimestamp"].as_str().unwrap_or_default())
}

/// Returns how long ago a time was.
pub(crate) fn since(time: &str) -> String {
    match rdd_api::time::parse_time(time) {
        Some(at) => human(jiff::Timestamp::now().as_second() - at.as_second()),
        None => "<unknown>".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Value {
        json!({
            "columnDefinitions": [
                {"name": "Name", "format": "name", "priority": 0}, {"name": "Data", "priority": 0},
                {"name": "More", "priority": 1}],
            "rows": [
                {"cells": ["b", 2, "x"], "object": {"metadata": {"namespace": "d", "name": "b", "labels": {"x/app": "1"}}}},
                {"cells": ["a", null, "two\nlines"], "object": {"metadata": {"namespace": "d", "name": "a"}}}],
        })
    }

    fn check(options: &TableOptions, with_namespace: bool, kind: Option<&str>, expect: &str) {
        let mut printer = TablePrinter::new(options, with_namespace, kind.map(str::to_owned));
        let sort = SortBy::parse(".metadata.name").expect("a path");
        printer.add(&table(), Some(&sort), None).expect("a table");
        assert_eq!(printer.flush(), expect);
    }

    #[test]
    fn looks() {
        let plain = TableOptions::default();
        check(&plain, false, None, "NAME   DATA\na      \nb      2\n");
        check(&plain, true, Some("cm"), "NAMESPACE   NAME   DATA\nd           cm/a   \nd           cm/b   2\n");
        let wide = TableOptions { wide: true, no_headers: true, ..plain.clone() };
        check(&wide, false, None, "a           two...\nb     2     x\n");
        let labels = TableOptions { show_labels: true, label_columns: vec!["x/app".into()], ..plain };
        check(
            &labels,
            false,
            None,
            "NAME   DATA   APP   LABELS\na                   <none>\nb      2      1     x/app=1\n",
        );
    }
}
