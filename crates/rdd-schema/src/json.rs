//! Reading JSON with an eye on keys that stand twice, which strict field validation reports.
//!
//! serde_json alone lets the last one win without a word.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// No more duplicates are told than this, as upstream.
const MOST: usize = 100;

/// A body and what was wrong with it that need not be an error.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The value; of equal keys the last one.
    pub value: Value,
    /// The paths of keys that stand twice, as in `spec.bar`; each once, at most a hundred.
    pub duplicates: Vec<String>,
}

/// Reads one JSON text.
pub fn parse(bytes: &[u8]) -> Result<Decoded, serde_json::Error> {
    let duplicates = RefCell::new(Vec::new());
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let at = Place { parent: None, step: Step::Root, duplicates: &duplicates };
    let value = Seed { at: &at }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(Decoded { value, duplicates: duplicates.into_inner() })
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

/// A chain of steps on the stack: paths are printed only for duplicates.
struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    step: Step<'a>,
    duplicates: &'a RefCell<Vec<String>>,
}

impl<'a> Place<'a> {
    fn below(&'a self, step: Step<'a>) -> Place<'a> {
        Place { parent: Some(self), step, duplicates: self.duplicates }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            write!(f, "{parent}")?;
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Key(key) if self.parent.is_some_and(|p| matches!(p.step, Step::Root)) => f.write_str(key),
            Step::Key(key) => write!(f, ".{key}"),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}

struct Seed<'a> {
    at: &'a Place<'a>,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<Value, E> {
        // As Go decodes what is no int64.
        #[expect(clippy::cast_precision_loss, reason = "a float is what is wanted")]
        i64::try_from(v).map_or_else(|_| self.visit_f64(v as f64), |v| Ok(v.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(v).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        loop {
            let at = self.at.below(Step::Index(items.len()));
            match seq.next_element_seed(Seed { at: &at })? {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let at = self.at.below(Step::Key(&key));
            let is_told = self.at.duplicates.borrow().len() >= MOST;
            if !is_told && map.contains_key(&key) {
                let path = at.to_string();
                let mut duplicates = self.at.duplicates.borrow_mut();
                if !duplicates.contains(&path) {
                    duplicates.push(path);
                }
            }
            let value = access.next_value_seed(Seed { at: &at })?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn duplicates_are_told_with_their_paths() {
        let decoded =
            parse(br#"{"a": 1, "spec": {"l": [{"x": 1, "x": 2}], "b": 1, "b": 1.5}, "a": null}"#).expect("JSON");
        assert_eq!(decoded.value, json!({"a": null, "spec": {"l": [{"x": 2}], "b": 1.5}}));
        assert_eq!(decoded.duplicates, ["spec.l[0].x", "spec.b", "a"]);
        let many: Vec<String> = (0..1000).map(|i| format!("\"k{i}\":1,\"k{i}\":2,\"k{i}\":3")).collect();
        assert_eq!(parse(format!("{{{}}}", many.join(",")).as_bytes()).expect("JSON").duplicates.len(), MOST);
        assert_eq!(parse(br#"{"a":1,"a":2,"a":3}"#).expect("JSON").duplicates, ["a"]);
        assert!(parse(b"{} x").is_err());
        assert!(parse(b"{\"a\": }").is_err());
        assert!(parse("[".repeat(10_000).as_bytes()).is_err());
        assert_eq!(parse(br#"{"n": 9007199254740993}"#).expect("JSON").value, json!({"n": 9007199254740993_i64}));
        let most = parse(br#"{"n": 9223372036854775807, "m": 9223372036854775808}"#).expect("JSON").value;
        assert_eq!(most, json!({"n": i64::MAX, "m": 9.223_372_036_854_776e18}));
        assert!(most["m"].is_f64(), "no integer that is no int64");
    }
}
