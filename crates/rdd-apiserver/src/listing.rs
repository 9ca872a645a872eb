//! Lists as text, printed a few items at a time: a list of everything fits into no memory twice.
//!
//! The text is the one that printing the list as one value gives, in each encoding.

use bytes::Bytes;
use rdd_api::Status;
use rdd_verbs::Object;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::form::Form;
use crate::negotiate::{Agreed, Encoding};
use crate::pieces::PIECE;

/// The most items of one piece: short rows may be made of long objects.
const ITEMS: usize = 100;

/// How values are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Compact,
    Pretty,
    Yaml,
}

/// A list as text. Yields pieces of about [`PIECE`] bytes.
#[derive(Debug)]
pub(crate) struct Listing {
    form: Form,
    style: Style,
    /// The field that items stand in.
    field: &'static str,
    /// What comes before the items, until it is told.
    head: Vec<u8>,
    items: std::vec::IntoIter<Object>,
    is_first: bool,
    /// What comes after the items; `None` when it was told.
    tail: Option<Vec<u8>>,
}

impl Listing {
    /// Prints `items` as `form` says. `plain` is the list itself for who asks for no other form: its kind, API version and metadata.
    pub(crate) fn new(form: Form, agreed: Agreed, plain: Value, items: Vec<Object>) -> Result<Self, Status> {
        let style = match (agreed.encoding, agreed.pretty) {
            (Encoding::Yaml, _) => Style::Yaml,
            (Encoding::Json, true) => Style::Pretty,
            (Encoding::Json, false) => Style::Compact,
        };
        let (envelope, field) = form.envelope(plain)?;
        let (head, tail) = split(style, envelope, field, items.is_empty());
        Ok(Self { form, style, field, head, items: items.into_iter(), is_first: true, tail: Some(tail) })
    }

    fn item(&mut self, out: &mut Vec<u8>, object: &Value) {
        let is_first = std::mem::replace(&mut self.is_first, false);
        let item = self.form.item(object);
        match self.style {
            Style::Compact => {
                if !is_first {
                    out.push(b',');
                }
                serde_json::to_writer(out, &*item).expect("a JSON value prints");
            }
            Style::Pretty => {
                if !is_first {
                    out.push(b',');
                }
                // Printed where it stands, for its indentation: `{"items": [ITEM]}`.
                let text = serde_json::to_string_pretty(&Within(self.field, &item)).expect("a JSON value prints");
                let begin = "{\n  \"\": [".len() + self.field.len();
                out.extend_from_slice(&text.as_bytes()[begin..text.len() - "\n  ]\n}".len()]);
            }
            Style::Yaml => {
                // Items of a list in a field stand as far left as the field.
                out.extend_from_slice(rdd_schema::yaml::print(&Value::Array(vec![item.into_owned()])).as_bytes());
            }
        }
    }
}

impl Iterator for Listing {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.tail.as_ref()?;
        let mut out = std::mem::take(&mut self.head);
        for _ in 0..ITEMS {
            if out.len() >= PIECE {
                break;
            }
            let Some(object) = self.items.next() else { break };
            self.item(&mut out, &object);
        }
        if self.items.as_slice().is_empty() {
            out.extend(self.tail.take().unwrap_or_default());
        }
        Some(out.into())
    }
}

/// The value in the place that it has in a list: `{FIELD: [ITEM]}`.
struct Within<'a>(&'static str, &'a Value);

impl Serialize for Within<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(self.0, [self.1])])
    }
}

/// Prints a list without items, in two halves: items belong between them.
fn split(style: Style, mut envelope: Value, field: &str, is_empty: bool) -> (Vec<u8>, Vec<u8>) {
    let (text, empty, open, close) = match style {
        Style::Compact => {
            // Items come last, so that who reads along knows what they are of.
            envelope.as_object_mut().map(|fields| fields.remove(field));
            let text = envelope.to_string();
            let head = format!("{},\"{field}\":[", text.strip_suffix('}').unwrap_or(&text));
            return (head.into_bytes(), b"]}\n".to_vec());
        }
        // Within texts of JSON line feeds are escaped, and those of YAML are indented: this is found only where it is
        // meant.
        Style::Pretty => {
            let text = serde_json::to_string_pretty(&envelope).expect("a JSON value prints");
            (format!("{text}\n"), format!("\n  \"{field}\": []"), format!("\n  \"{field}\": ["), "\n  ]")
        }
        Style::Yaml => {
            let text = format!("\n{}", rdd_schema::yaml::print(&envelope));
            (text, format!("\n{field}: []\n"), format!("\n{field}:\n"), "")
        }
    };
    let (head, tail) = text.split_once(&empty).expect("the envelope has the field");
    let (head, tail) = match is_empty {
        true => (format!("{head}{empty}"), tail.to_owned()),
        false => (format!("{head}{open}"), format!("{close}{tail}")),
    };
    let head = if style == Style::Yaml { head[1..].to_owned() } else { head };
    (head.into_bytes(), tail.into_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::form::Include;
    use crate::negotiate::Transform;

    fn object(i: usize) -> Value {
        let text = "two\nlines: []\n\nitems: []\n  \"items\": []";
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"n": i, "text": text, "long": "x".repeat(3000), "none": []},
            "metadata": {"name": format!("c-{i}"), "labels": {"items": "[]", "rows": "[]"}}})
    }

    fn check(agreed: Agreed, count: usize) {
        let registry = rdd_registry::Registry::with_builtin_kinds();
        let kinds = registry.kinds();
        let (_, version) = kinds.resource("", "v1", "configmaps").expect("a kind");
        let form = Form {
            transform: agreed.transform,
            include: Include::Object,
            version: version.clone(),
            now: jiff::Timestamp::UNIX_EPOCH,
        };
        let values: Vec<Value> = (0..count).map(object).collect();
        let plain = json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}});
        let items = values.iter().cloned().map(Object::new).collect();
        let pieces: Vec<Bytes> = Listing::new(form.clone(), agreed, plain.clone(), items).expect("a list").collect();
        assert!(pieces.iter().all(|piece| piece.len() < 2 * PIECE && !piece.is_empty()));
        assert!(pieces.len() >= count / ITEMS, "{agreed:?}: {}", pieces.len());
        let text = String::from_utf8(pieces.concat()).expect("UTF-8");

        let (mut whole, field) = form.envelope(plain).expect("an envelope");
        whole[field] = values.iter().map(|value| form.item(value).into_owned()).collect();
        match agreed.encoding {
            Encoding::Yaml => assert_eq!(text, rdd_schema::yaml::print(&whole), "{agreed:?}"),
            Encoding::Json if agreed.pretty => {
                assert_eq!(text, format!("{}\n", serde_json::to_string_pretty(&whole).expect("JSON")), "{agreed:?}");
            }
            Encoding::Json => {
                assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), whole, "{agreed:?}");
                assert_eq!(text.find('\n'), Some(text.len() - 1), "{agreed:?}");
            }
        }
    }

    #[test]
    fn the_text_is_that_of_the_whole_list() {
        for transform in [Transform::None, Transform::Table("v1"), Transform::PartialList("v1")] {
            for (encoding, pretty) in [(Encoding::Json, false), (Encoding::Json, true), (Encoding::Yaml, false)] {
                for count in [0, 1, 2, 250] {
                    check(Agreed { encoding, transform, pretty }, count);
                }
            }
        }
    }
}
