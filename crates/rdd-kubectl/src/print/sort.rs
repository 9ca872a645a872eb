//! `--sort-by`.

use std::cmp::Ordering;

use rdd_schema::jsonpath::JsonPath;
use serde_json::Value;

use crate::failure::Failure;

/// The field to sort by.
#[derive(Clone, Debug)]
pub(crate) struct SortBy {
    shown: String,
    path: JsonPath,
}

impl SortBy {
    /// Reads a path, with or without braces.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let path = JsonPath::parse_column(text).map_err(|error| Failure::message(error.to_string()))?;
        let bare = text.trim_start_matches('{').trim_end_matches('}');
        let dot = if bare.starts_with('.') { "" } else { "." };
        Ok(Self { shown: format!("{{{dot}{bare}}}"), path })
    }

    /// Sorts, stably; what lacks the field comes first. A field that nobody has is an error.
    pub(crate) fn sort<T>(&self, items: &mut [T], object: impl Fn(&T) -> &Value) -> Result<(), Failure> {
        let key = |item: &T| self.path.find(object(item)).first().map(|v| (*v).clone());
        if !items.is_empty() && items.iter().all(|item| key(item).is_none()) {
            return Err(Failure::message(format!(
                "couldn't find any field with path \"{}\" in the list of objects",
                self.shown
            )));
        }
        items.sort_by(|a, b| compare(key(a).as_ref(), key(b).as_ref()));
        Ok(())
    }
}

fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    match (a, b) {
        (Some(Value::Number(a)), Some(Value::Number(b))) => {
            a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal)
        }
        (Some(Value::String(a)), Some(Value::String(b))) => natural(a, b),
        (Some(Value::Bool(a)), Some(Value::Bool(b))) => a.cmp(b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

/// Compares texts with numbers in them by the numbers: `a2` before `a10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        match (digits(a), digits(b)) {
            (m, n) if m > 0 && n > 0 => {
                let (x, y) = (a[..m].trim_start_matches('0'), b[..n].trim_start_matches('0'));
                let order = x.len().cmp(&y.len()).then_with(|| x.cmp(y)).then_with(|| m.cmp(&n));
                if order != Ordering::Equal {
                    return order;
                }
                (a, b) = (&a[m..], &b[n..]);
            }
            _ => {
                let (Some(x), Some(y)) = (a.chars().next(), b.chars().next()) else { return a.len().cmp(&b.len()) };
                if x != y {
                    return x.cmp(&y);
                }
                (a, b) = (&a[x.len_utf8()..], &b[y.len_utf8()..]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn orders() {
        assert_eq!(natural("a2", "a10"), Ordering::Less);
        assert_eq!(natural("a", "b"), Ordering::Less);
        assert_eq!(natural("a1", "a1b"), Ordering::Less);
        let mut items = vec![json!({"n": 3}), json!({"n": 1}), json!({})];
        SortBy::parse(".n").expect("a path").sort(&mut items, |v| v).expect("sorted");
        assert_eq!(items, [json!({}), json!({"n": 1}), json!({"n": 3})]);
        let error = SortBy::parse("{.x}").expect("a path").sort(&mut items, |v| v).expect_err("nobody has it");
        assert_eq!(error.to_string(), "couldn't find any field with path \"{.x}\" in the list of objects");
    }
}
