//! What a kind does that its data cannot say.

use jiff::Timestamp;
use rdd_api::FieldError;
use serde_json::Value;

/// What a kind does that its data cannot say. Objects are complete, defaulted and at the request's
/// version, unless told otherwise.
pub trait Strategy: Send + Sync {
    /// Turns an object into the stored form. For kinds that share their storage with another one; a change
    /// of `apiVersion` alone is made elsewhere.
    fn encode(&self, object: &mut Value) {
        let _ = object;
    }

    /// Turns a stored object into the form that requests see. Undoes [`Strategy::encode`].
    fn decode(&self, object: &mut Value) {
        let _ = object;
    }

    /// Fills in what the server decides on a new object.
    fn prepare_create(&self, object: &mut Value, now: Timestamp) {
        let _ = (object, now);
    }

    /// Fills in what the server decides on a changed object, and puts back what may not change.
    fn prepare_update(&self, object: &mut Value, old: &Value, now: Timestamp) {
        let _ = (object, old, now);
    }

    /// Marks an object that starts to terminate.
    fn prepare_delete(&self, object: &mut Value, now: Timestamp) {
        let _ = (object, now);
    }

    /// Returns whether something beside finalizers keeps a terminating object.
    fn keeps(&self, object: &Value) -> bool {
        let _ = object;
        false
    }

    /// Returns what is wrong with a new object, beyond its schema.
    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let _ = object;
        Vec::new()
    }

    /// Returns what is wrong with a changed object, beyond its schema.
    fn validate_update(&self, object: &Value, old: &Value) -> Vec<FieldError> {
        let _ = (object, old);
        Vec::new()
    }

    /// Returns what the caller should know about an object that is fine.
    fn warnings(&self, object: &Value) -> Vec<String> {
        let _ = object;
        Vec::new()
    }
}

/// The strategy of kinds that need none: custom kinds, Leases, ServiceAccounts.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainStrategy;

impl Strategy for PlainStrategy {}
