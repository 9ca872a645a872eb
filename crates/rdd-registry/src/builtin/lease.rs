//! Leases.

use rdd_api::FieldError;
use serde_json::Value;

use crate::strategy::Strategy;

pub(crate) struct LeaseStrategy;

impl Strategy for LeaseStrategy {
    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let mut check = |field: &str, least: i64, detail: &str| {
            let value = object.pointer(&format!("/spec/{field}"));
            if let Some(value) = value.filter(|v| v.as_i64().is_some_and(|n| n < least)) {
                errors.push(FieldError::invalid(format!("spec.{field}"), value, detail));
            }
        };
        check("leaseDurationSeconds", 1, "must be greater than 0");
        check("leaseTransitions", 0, "must be greater than or equal to 0");
        errors
    }

    fn validate_update(&self, object: &Value, _old: &Value) -> Vec<FieldError> {
        self.validate_create(object)
    }
}
