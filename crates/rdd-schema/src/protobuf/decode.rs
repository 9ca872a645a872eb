//! From protobuf bytes to the JSON that the same client would have sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Number, Value};

use super::table::{Field, Message, Presence, Type};
use super::wire::{Raw, Reader, WireError};

const MAGIC: &[u8] = b"k8s\0";
/// Deep enough for any schema a client sends, shallow enough for the stack.
const MAX_DEPTH: usize = 200;

/// A body that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The envelope is missing.
    #[error("provided data does not appear to be a protobuf message, expected prefix {:?}", MAGIC)]
    NoEnvelope,
    /// The bytes are no protobuf.
    #[error("malformed protobuf in {message}")]
    Wire {
        /// The message that was being read.
        message: &'static str,
        /// What is wrong.
        #[source]
        source: WireError,
    },
    /// A field carries the wrong wire type.
    #[error("proto: wrong wireType for field {field} of {message}")]
    WrongType {
        /// The message.
        message: &'static str,
        /// The JSON name.
        field: &'static str,
    },
    /// A text is not UTF-8.
    #[error("field {field} of {message} contains invalid UTF-8")]
    Utf8 {
        /// The message.
        message: &'static str,
        /// The JSON name.
        field: &'static str,
    },
    /// Embedded JSON cannot be read, or a time is out of range.
    #[error("field {field} of {message} holds an unreadable value")]
    Value {
        /// The message.
        message: &'static str,
        /// The JSON name.
        field: &'static str,
    },
    /// Messages lie too deep inside each other.
    #[error("exceeded max depth")]
    TooDeep,
}

/// An opened envelope (`runtime.Unknown`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body<'a> {
    /// `apiVersion`.
    pub api_version: String,
    /// `kind`.
    pub kind: String,
    /// The kind's own message.
    pub raw: &'a [u8],
    /// The content encoding; empty, as nobody compresses here.
    pub content_encoding: String,
    /// The content type of `raw`; empty means protobuf.
    pub content_type: String,
}

impl Body<'_> {
    /// Returns the object as JSON, `apiVersion` and `kind` included.
    pub fn decode(&self, message: &'static Message) -> Result<Value, DecodeError> {
        let mut object = decode(message, self.raw)?;
        if let Value::Object(map) = &mut object {
            for (key, value) in [("apiVersion", &self.api_version), ("kind", &self.kind)] {
                if !value.is_empty() {
                    map.insert(key.to_owned(), Value::String(value.clone()));
                }
            }
        }
        Ok(object)
    }
}

/// Returns whether the bytes begin with the envelope's mark.
pub fn is_protobuf(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Opens the envelope of a request body.
pub fn decode_body(bytes: &[u8]) -> Result<Body<'_>, DecodeError> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(DecodeError::NoEnvelope)?;
    let wire = |source| DecodeError::Wire { message: "Unknown", source };
    let text = |bytes: &[u8], field| {
        String::from_utf8(bytes.to_vec()).map_err(|_| DecodeError::Utf8 { message: "Unknown", field })
    };
    let mut body = Body {
        api_version: String::new(),
        kind: String::new(),
        raw: &[],
        content_encoding: String::new(),
        content_type: String::new(),
    };
    let mut reader = Reader::new(rest);
    while let Some((number, raw)) = reader.next().map_err(wire)? {
        let Raw::Bytes(bytes) = raw else { continue };
        match number {
            1 => {
                let mut type_meta = Reader::new(bytes);
                while let Some((number, raw)) = type_meta.next().map_err(wire)? {
                    match (number, raw) {
                        (1, Raw::Bytes(bytes)) => body.api_version = text(bytes, "apiVersion")?,
                        (2, Raw::Bytes(bytes)) => body.kind = text(bytes, "kind")?,
                        _ => {}
                    }
                }
            }
            2 => body.raw = bytes,
            3 => body.content_encoding = text(bytes, "contentEncoding")?,
            4 => body.content_type = text(bytes, "contentType")?,
            _ => {}
        }
    }
    Ok(body)
}

/// Reads one message. Unknown field numbers are skipped, as Go does.
pub fn decode(message: &'static Message, bytes: &[u8]) -> Result<Value, DecodeError> {
    message_at(message, bytes, MAX_DEPTH)
}

fn message_at(message: &'static Message, bytes: &[u8], depth: usize) -> Result<Value, DecodeError> {
    if depth == 0 {
        return Err(DecodeError::TooDeep);
    }
    let mut out = Map::new();
    let mut reader = Reader::new(bytes);
    while let Some((number, raw)) =
        reader.next().map_err(|source| DecodeError::Wire { message: message.name, source })?
    {
        let Some(field) = message.field(number) else { continue };
        let at = At { message, field, depth };
        if let Type::Map(value_type) = field.kind {
            let (key, value) = at.entry(*value_type, raw)?;
            let entries = out.entry(field.name).or_insert_with(|| Value::Object(Map::new()));
            entries.as_object_mut().expect("only this arm writes the field").insert(key, value);
            continue;
        }
        let value = at.value(field.kind, raw)?;
        match field.presence {
            Presence::Repeated => {
                let items = out.entry(field.name).or_insert_with(|| Value::Array(Vec::new()));
                items.as_array_mut().expect("only this arm writes the field").push(value);
            }
            Presence::Inline => {
                if let Value::Object(fields) = value {
                    out.extend(fields);
                }
            }
            // Fields are read in any order and the last one wins; a zero must therefore unset.
            Presence::NonZero if is_zero(&value) => {
                out.remove(field.name);
            }
            _ => {
                out.insert(field.name.to_owned(), value);
            }
        }
    }
    Ok(Value::Object(out))
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
    }
}

/// Where a value is being read: for errors and for the depth.
#[derive(Clone, Copy)]
struct At {
    message: &'static Message,
    field: &'static Field,
    depth: usize,
}

impl At {
    fn wrong_type(self) -> DecodeError {
        DecodeError::WrongType { message: self.message.name, field: self.field.name }
    }

    fn bad_value(self) -> DecodeError {
        DecodeError::Value { message: self.message.name, field: self.field.name }
    }

    fn wire(self, source: WireError) -> DecodeError {
        DecodeError::Wire { message: self.message.name, source }
    }

    fn text(self, bytes: &[u8]) -> Result<String, DecodeError> {
        let error = DecodeError::Utf8 { message: self.message.name, field: self.field.name };
        String::from_utf8(bytes.to_vec()).map_err(|_| error)
    }

    fn value(self, kind: Type, raw: Raw<'_>) -> Result<Value, DecodeError> {
        Ok(match (kind, raw) {
            (Type::String, Raw::Bytes(bytes)) => Value::String(self.text(bytes)?),
            (Type::Bool, Raw::Varint(n)) => Value::Bool(n != 0),
            // Negative int32 are sent as ten-byte varints; truncating is what Go does.
            (Type::Int32, Raw::Varint(n)) => Value::from(n as i32),
            (Type::Int64, Raw::Varint(n)) => Value::from(n as i64),
            (Type::Double, Raw::Fixed64(bits)) => number(f64::from_bits(bits)).ok_or_else(|| self.bad_value())?,
            (Type::Bytes, Raw::Bytes(bytes)) => Value::String(STANDARD.encode(bytes)),
            (Type::Message(message), Raw::Bytes(bytes)) => message_at(message, bytes, self.depth - 1)?,
            (Type::Time, Raw::Bytes(bytes)) => self.time(bytes, rdd_api::time::format_time)?,
            (Type::MicroTime, Raw::Bytes(bytes)) => self.time(bytes, rdd_api::time::format_micro_time)?,
            (Type::IntOrString, Raw::Bytes(bytes)) => self.int_or_string(bytes)?,
            (Type::Json, Raw::Bytes(bytes)) => self.json(bytes)?,
            (Type::SchemaOrBool(message), Raw::Bytes(bytes)) => self.schema_or(message, bytes, Other::Allows)?,
            (Type::SchemaOrArray(message), Raw::Bytes(bytes)) => self.schema_or(message, bytes, Other::List)?,
            _ => return Err(self.wrong_type()),
        })
    }

    /// One entry of a map: field 1 is the key, field 2 the value; both may be left out.
    fn entry(self, kind: Type, raw: Raw<'_>) -> Result<(String, Value), DecodeError> {
        let Raw::Bytes(bytes) = raw else { return Err(self.wrong_type()) };
        let (mut key, mut value) = (String::new(), None);
        let mut reader = Reader::new(bytes);
        while let Some((number, raw)) = reader.next().map_err(|e| self.wire(e))? {
            match (number, raw) {
                (1, Raw::Bytes(bytes)) => key = self.text(bytes)?,
                (2, raw) => value = Some(self.value(kind, raw)?),
                _ => {}
            }
        }
        let value = match value {
            Some(value) => value,
            None => match kind {
                Type::String | Type::Bytes => Value::String(String::new()),
                Type::Message(message) => message_at(message, &[], self.depth - 1)?,
                _ => Value::Null,
            },
        };
        Ok((key, value))
    }

    fn time(self, bytes: &[u8], print: fn(Timestamp) -> String) -> Result<Value, DecodeError> {
        let (mut seconds, mut nanos) = (0i64, 0i32);
        let mut reader = Reader::new(bytes);
        let mut is_empty = true;
        while let Some((number, raw)) = reader.next().map_err(|e| self.wire(e))? {
            is_empty = false;
            match (number, raw) {
                (1, Raw::Varint(n)) => seconds = n as i64,
                (2, Raw::Varint(n)) => nanos = n as i32,
                _ => {}
            }
        }
        if is_empty {
            return Ok(Value::Null);
        }
        let at = Timestamp::new(seconds, nanos).map_err(|_| self.bad_value())?;
        Ok(Value::String(print(at)))
    }

    fn int_or_string(self, bytes: &[u8]) -> Result<Value, DecodeError> {
        let (mut is_text, mut int, mut text) = (false, 0i32, String::new());
        let mut reader = Reader::new(bytes);
        while let Some((number, raw)) = reader.next().map_err(|e| self.wire(e))? {
            match (number, raw) {
                (1, Raw::Varint(n)) => is_text = n == 1,
                (2, Raw::Varint(n)) => int = n as i32,
                (3, Raw::Bytes(bytes)) => text = self.text(bytes)?,
                _ => {}
            }
        }
        Ok(if is_text { Value::String(text) } else { Value::from(int) })
    }

    fn json(self, bytes: &[u8]) -> Result<Value, DecodeError> {
        let mut reader = Reader::new(bytes);
        let mut value = Value::Null;
        while let Some((number, raw)) = reader.next().map_err(|e| self.wire(e))? {
            if let (1, Raw::Bytes(bytes)) = (number, raw)
                && !bytes.is_empty()
            {
                value = serde_json::from_slice(bytes).map_err(|_| self.bad_value())?;
            }
        }
        Ok(value)
    }

    fn schema_or(self, message: &'static Message, bytes: &[u8], other: Other) -> Result<Value, DecodeError> {
        let (mut schema, mut allows, mut list) = (None, false, Vec::new());
        let mut reader = Reader::new(bytes);
        while let Some((number, raw)) = reader.next().map_err(|e| self.wire(e))? {
            match (other, number, raw) {
                (Other::Allows, 1, Raw::Varint(n)) => allows = n != 0,
                (Other::Allows, 2, Raw::Bytes(bytes)) | (Other::List, 1, Raw::Bytes(bytes)) => {
                    schema = Some(message_at(message, bytes, self.depth - 1)?);
                }
                (Other::List, 2, Raw::Bytes(bytes)) => list.push(message_at(message, bytes, self.depth - 1)?),
                _ => {}
            }
        }
        Ok(match (schema, other) {
            (Some(schema), _) => schema,
            (None, Other::Allows) => Value::Bool(allows),
            (None, Other::List) => Value::Array(list),
        })
    }
}

/// What stands beside a schema in `JSONSchemaPropsOr…`.
#[derive(Clone, Copy)]
enum Other {
    Allows,
    List,
}

/// Prints whole doubles as Go's JSON does: without a fraction.
fn number(value: f64) -> Option<Value> {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return Some(Value::from(value as i64));
    }
    Number::from_f64(value).map(Value::Number)
}
