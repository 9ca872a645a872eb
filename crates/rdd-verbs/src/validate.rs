//! Whether an object may be stored: its metadata, its schema, and what its kind says.

use rdd_api::{FieldError, Status, object};
use rdd_schema::validation::{finalizer_warnings, object_meta, object_meta_update};
use serde_json::Value;

use crate::options::Target;

/// Checks a new object.
pub(crate) fn create(target: &Target, object: &Value, warnings: &mut Vec<String>) -> Result<(), Status> {
    let kind = &target.kind;
    let version = target.version()?;
    let mut errors = object_meta(object, kind.is_namespaced(), kind.name_format);
    if kind.custom.is_some() {
        errors.extend(version.schema.validate_all(object, None));
        warnings.extend(finalizer_warnings(object));
    }
    errors.extend(kind.strategy.validate_create(object));
    warnings.extend(kind.strategy.warnings(object));
    finish(target, object, &errors)
}

/// Checks a changed object. `below` limits schema errors to a part of it, as in `status`.
pub(crate) fn update(
    target: &Target,
    object: &Value,
    old: &Value,
    below: &str,
    warnings: &mut Vec<String>,
) -> Result<(), Status> {
    let kind = &target.kind;
    let version = target.version()?;
    let mut errors = object_meta(object, kind.is_namespaced(), kind.name_format);
    errors.extend(object_meta_update(object, old));
    errors.dedup();
    if kind.custom.is_some() {
        if below.is_empty() {
            errors.extend(version.schema.validate_all(object, Some(old)));
            warnings.extend(finalizer_warnings(object));
        } else {
            let found = version.schema.validate_at(object, Some(old), below);
            let rules_run = !rdd_schema::Schema::blocks_rules(&found);
            errors.extend(found);
            if rules_run {
                // Rules see the whole object; those of other parts hold, as only this part has changed.
                errors.extend(version.schema.validate_rules(object, Some(old)));
            }
        }
    }
    errors.extend(kind.strategy.validate_update(object, old));
    warnings.extend(kind.strategy.warnings(object));
    finish(target, object, &errors)
}

fn finish(target: &Target, object: &Value, errors: &[FieldError]) -> Result<(), Status> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(&target.kind.group_kind(), object::name(object), errors))
}
