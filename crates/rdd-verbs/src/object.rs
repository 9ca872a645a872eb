//! Objects as verbs hand them out.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::Value;

/// A complete object: `apiVersion`, `kind` and `metadata.resourceVersion` are filled in. Cheap to clone;
/// many lists and watches share one value.
#[derive(Clone)]
pub struct Object {
    value: Arc<Value>,
    json: Arc<OnceLock<Bytes>>,
}

impl Object {
    /// Wraps a complete value.
    pub fn new(value: Value) -> Self {
        Self { value: Arc::new(value), json: Arc::default() }
    }

    /// Returns the value.
    pub fn value(&self) -> &Arc<Value> {
        &self.value
    }

    /// Returns the value, copied only if it is shared.
    pub fn into_value(self) -> Value {
        Arc::unwrap_or_clone(self.value)
    }

    /// Returns the JSON text, made once for all who share the object: for watches, which many follow.
    pub fn json(&self) -> Bytes {
        self.json.get_or_init(|| Bytes::from(self.value.to_string())).clone()
    }
}

impl Deref for Object {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.value
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.value)
    }
}
