//! The scale subresource of a version: a number that is wanted, a number that is seen, and where they stand.
//!
//! Pure: from an object to its `Scale` and back. Who may write what, and when, is the verbs' business.

use serde_json::{Value, json};

/// The scale subresource of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scale {
    /// JSON path of the wanted number, as in `.spec.replicas`.
    pub spec_replicas_path: String,
    /// JSON path of the seen number.
    pub status_replicas_path: String,
    /// JSON path of the serialized selector.
    pub label_selector_path: Option<String>,
}

/// An object that has no scale.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScaleError {
    /// The wanted number is not there.
    #[error("the spec replicas field {path:?} does not exist")]
    NoReplicas {
        /// Where it should stand.
        path: String,
    },
    /// Something else stands in the place.
    #[error("{path} accessor error: {found} is not of the type {wanted}")]
    WrongType {
        /// The place.
        path: String,
        /// What stands there.
        found: String,
        /// What should.
        wanted: &'static str,
    },
}

impl Scale {
    /// Returns the `autoscaling/v1` Scale of an object.
    ///
    /// # Errors
    ///
    /// If the wanted number is absent, or anything is of another type.
    pub fn of(&self, whole: &Value) -> Result<Value, ScaleError> {
        let path = &self.spec_replicas_path;
        let replicas = number(whole, path)?.ok_or_else(|| ScaleError::NoReplicas { path: path.clone() })?;
        self.with(whole, replicas)
    }

    /// As [`Scale::of`]; a wanted number that is absent counts as zero. What a write starts from.
    ///
    /// # Errors
    ///
    /// If anything is of another type.
    pub fn of_or_zero(&self, whole: &Value) -> Result<Value, ScaleError> {
        self.with(whole, number(whole, &self.spec_replicas_path)?.unwrap_or(0))
    }

    fn with(&self, whole: &Value, replicas: i32) -> Result<Value, ScaleError> {
        let mut status = json!({"replicas": number(whole, &self.status_replicas_path)?.unwrap_or(0)});
        if let Some(path) = &self.label_selector_path {
            match find(whole, path) {
                None | Some(Value::Null) => {}
                Some(Value::String(selector)) if selector.is_empty() => {}
                Some(Value::String(selector)) => status["selector"] = json!(selector),
                Some(other) => return Err(wrong(path, other, "string")),
            }
        }
        let mut metadata = json!({});
        for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
            if let Some(value) = whole.get("metadata").and_then(|m| m.get(field)) {
                metadata[field] = value.clone();
            }
        }
        Ok(json!({
            "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata,
            "spec": {"replicas": replicas}, "status": status,
        }))
    }

    /// Writes the wanted number into an object. What stands in the way of its path is replaced.
    pub fn set(&self, whole: &mut Value, replicas: i64) {
        let mut at = whole;
        for key in keys(&self.spec_replicas_path) {
            if !at.is_object() {
                *at = json!({});
            }
            at = &mut at[key];
        }
        *at = json!(replicas);
    }
}

/// Returns the number of replicas that a Scale wants. Go clients leave a zero out.
pub fn wanted_replicas(scale: &Value) -> i64 {
    scale.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(0)
}

fn keys(path: &str) -> impl Iterator<Item = &str> {
    path.split('.').filter(|key| !key.is_empty())
}

fn find<'a>(whole: &'a Value, path: &str) -> Option<&'a Value> {
    keys(path).try_fold(whole, |at, key| at.get(key))
}

fn number(whole: &Value, path: &str) -> Result<Option<i32>, ScaleError> {
    match find(whole, path) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let number = value.as_i64().and_then(|n| i32::try_from(n).ok());
            number.map(Some).ok_or_else(|| wrong(path, value, "int32"))
        }
    }
}

fn wrong(path: &str, found: &Value, wanted: &'static str) -> ScaleError {
    ScaleError::WrongType { path: path.to_owned(), found: found.to_string(), wanted }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale() -> Scale {
        Scale {
            spec_replicas_path: ".spec.pool.size".to_owned(),
            status_replicas_path: ".status.size".to_owned(),
            label_selector_path: Some(".status.selector".to_owned()),
        }
    }

    #[test]
    fn an_object_is_seen_through_its_paths() {
        let whole = json!({"metadata": {"name": "w", "uid": "u", "labels": {"a": "b"}},
            "spec": {"pool": {"size": 3}}, "status": {"size": 2, "selector": "app=w"}});
        let seen = scale().of(&whole).expect("a scale");
        assert_eq!(
            seen,
            json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "w", "uid": "u"},
                "spec": {"replicas": 3}, "status": {"replicas": 2, "selector": "app=w"}})
        );
        let empty = json!({"metadata": {"name": "w"}});
        let missing = scale().of(&empty).expect_err("no number");
        assert_eq!(missing.to_string(), "the spec replicas field \".spec.pool.size\" does not exist");
        assert_eq!(scale().of_or_zero(&empty).expect("zero")["spec"]["replicas"], 0);
        for size in [json!("3"), json!(1.5), json!(1_u64 << 40)] {
            assert!(scale().of(&json!({"spec": {"pool": {"size": size}}})).is_err(), "{size}");
        }
        assert!(scale().of(&json!({"spec": {"pool": {"size": 1}}, "status": {"selector": 1}})).is_err());
    }

    #[test]
    fn only_the_number_is_written() {
        let mut whole = json!({"spec": {"pool": {"size": 3, "kind": "a"}}});
        scale().set(&mut whole, 4);
        assert_eq!(whole, json!({"spec": {"pool": {"size": 4, "kind": "a"}}}));
        let mut empty = json!({});
        scale().set(&mut empty, 1);
        assert_eq!(empty, json!({"spec": {"pool": {"size": 1}}}));
        assert_eq!(wanted_replicas(&json!({"spec": {}})), 0);
    }
}
