//! Reading YAML into JSON, by serde-saphyr.

use serde_json::Value;
use serde_saphyr::options::DuplicateKeyPolicy;

use crate::json;

/// YAML that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct YamlError {
    /// The text for people, with the line.
    pub message: String,
    /// The line, from 1, where it is known.
    pub line: Option<u64>,
}

fn options(duplicate_keys: DuplicateKeyPolicy) -> serde_saphyr::Options {
    serde_saphyr::options! { legacy_octal_numbers: true, with_snippet: false, duplicate_keys: duplicate_keys }
}

fn convert(error: &serde_saphyr::Error, first_line: u64) -> YamlError {
    let line = error.location().map(|l| l.line() + first_line);
    let text = error.to_string();
    let text = text.lines().next().unwrap_or_default();
    let message = match line {
        Some(line) => {
            // The library prints its own position; ours counts from the top of the whole text.
            let cause = text.split(" at line ").next().unwrap_or(text);
            let cause = cause.trim_start_matches("error: ");
            match cause.strip_prefix("duplicate mapping key: ").and_then(|c| c.split(", set DuplicateKeyPolicy").next())
            {
                Some(key) => format!("yaml: line {line}: key {key:?} already set in map"),
                None => format!("yaml: line {line}: {cause}"),
            }
        }
        None => format!("yaml: {text}"),
    };
    YamlError { message, line }
}

/// Reads one document; an empty text is null. JSON is YAML.
pub fn parse(text: &str) -> Result<Value, YamlError> {
    let mut documents = split(text).filter(|(_, text)| !is_blank(text));
    let first = documents.next();
    match documents.next() {
        Some((line, _)) => {
            let message = "yaml: expected one document, found more".to_owned();
            Err(YamlError { message, line: Some(line + 1) })
        }
        None => first.map_or(Ok(Value::Null), |(line, text)| one(text, line)),
    }
}

/// Reads one document as a server does without strict field validation: of equal keys the last one wins.
/// Returns what strict validation would have said.
pub fn parse_lenient(text: &str) -> Result<(Value, Option<YamlError>), YamlError> {
    let error = match parse(text) {
        Ok(value) => return Ok((value, None)),
        Err(error) => error,
    };
    match serde_saphyr::from_str_with_options::<Value>(text, options(DuplicateKeyPolicy::LastWins)) {
        Ok(value) => Ok((value, Some(error))),
        Err(_) => Err(error),
    }
}

/// Reads all documents; empty ones are left out.
pub fn parse_documents(text: &str) -> Result<Vec<Value>, YamlError> {
    let mut values = Vec::new();
    for (line, document) in split(text) {
        let value = one(document, line)?;
        if !value.is_null() {
            values.push(value);
        }
    }
    Ok(values)
}

fn one(text: &str, first_line: u64) -> Result<Value, YamlError> {
    if is_blank(text) {
        return Ok(Value::Null);
    }
    // JSON is read by the JSON parser: it is quicker, and knows numbers exactly.
    if text.trim_start().starts_with('{')
        && let Some(value) = strict_json(text)
    {
        return Ok(value);
    }
    serde_saphyr::from_str_with_options::<Value>(text, options(DuplicateKeyPolicy::Error))
        .map_err(|e| convert(&e, first_line))
}

/// serde_json lets the last of two equal keys win, so duplicates are left to the YAML parser and its error.
fn strict_json(text: &str) -> Option<Value> {
    json::parse(text.as_bytes()).ok().filter(|d| d.duplicates.is_empty()).map(|d| d.value)
}

fn is_blank(text: &str) -> bool {
    text.lines().all(|line| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line.starts_with('%')
    })
}

/// Splits at lines that are `---` (with anything after a blank), as kubectl does before it parses.
/// Yields the number of lines above each document.
fn split(text: &str) -> impl Iterator<Item = (u64, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut starts = vec![(0u64, 0usize, 0usize)];
    let (mut offset, mut number) = (0, 0u64);
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end();
        if bare == "---" || bare.starts_with("--- ") || bare == "..." {
            // What stands behind `--- ` belongs to the document: it is parsed with the mark.
            let body = if bare.starts_with("--- ") { offset } else { offset + line.len() };
            starts.push((if bare.starts_with("--- ") { number } else { number + 1 }, offset, body));
        }
        offset += line.len();
        number += 1;
    }
    let ends: Vec<usize> = starts.iter().skip(1).map(|(_, end, _)| *end).chain([text.len()]).collect();
    starts.into_iter().zip(ends).map(move |((line, _, body), end)| (line, &text[body.min(end)..end]))
}
