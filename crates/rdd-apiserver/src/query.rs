//! Query parameters: the first of several values wins, booleans, numbers and durations as upstream reads them.

use std::time::Duration;

use rdd_api::Status;

/// The parameters of one request, decoded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query string.
    pub(crate) fn parse(query: Option<&str>) -> Self {
        let decode = |text: &str| crate::request_info::percent_decode(&text.replace('+', " "));
        let pairs = query.unwrap_or_default().split('&').filter(|p| !p.is_empty());
        Self(
            pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(k, v)| (decode(k), decode(v))).collect(),
        )
    }

    /// Returns the first value; `Some("")` if the parameter stands there without one.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns the first value unless it is empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Returns all values.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns a boolean: absent is false, present is true unless it says `false` or `0`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.optional_flag(name).unwrap_or(false)
    }

    /// Returns a boolean, `None` if absent.
    pub(crate) fn optional_flag(&self, name: &str) -> Option<bool> {
        self.get(name).map(|value| !matches!(value.to_ascii_lowercase().as_str(), "false" | "0" | "f"))
    }

    /// Returns a number; 400 if it is none.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, Status> {
        let parse = |value: &str| {
            value.parse().map_err(|_| {
                Status::bad_request(format!(
                    "strconv.ParseInt: parsing \"{value}\": invalid syntax (query parameter {name})"
                ))
            })
        };
        self.text(name).map(parse).transpose()
    }

    /// Returns a duration as Go writes it, as in `1m30s`; an error text if it is none, or less than nothing.
    pub(crate) fn duration(&self, name: &str) -> Result<Option<Duration>, String> {
        let Some(text) = self.text(name) else { return Ok(None) };
        duration(text).map(Some).ok_or_else(|| format!("time: invalid duration {}", rdd_api::field::quote(text)))
    }
}

fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut seconds = (!rest.is_empty()).then_some(0f64)?;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        seconds += number * unit;
        rest = &rest[end..];
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_as_upstream_reads_them() {
        let query =
            Query::parse(Some("watch&fieldSelector=metadata.name%3Da&limit=5&bad=x&pretty=False&q=a+b&limit=7"));
        assert!(query.flag("watch"));
        assert!(!query.flag("pretty"));
        assert!(!query.flag("absent"));
        assert_eq!(query.text("fieldSelector"), Some("metadata.name=a"));
        assert_eq!(query.text("q"), Some("a b"));
        assert_eq!(query.number("limit"), Ok(Some(5)));
        assert!(query.number("bad").is_err());
        assert!(Query::parse(Some("watch=True")).flag("watch"), "Python's capital T");
    }
}
