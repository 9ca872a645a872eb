//! Defaults must fit their own schema.

use rdd_api::FieldError;
use serde_json::Value;

use crate::node::{self, Node};
use crate::path::Path;
use crate::{default, prune, validate};

/// Checks that defaults fit their own schema: pruned, and valid.
pub(crate) fn check_defaults(node: &Node, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    if let Some(value) = &node.default {
        check_default(node, value, &path.child("default"), errors);
    }
    let properties = path.child("properties");
    for (name, property) in &node.properties {
        check_defaults(property, &properties.key(name), errors);
    }
    if let Some(items) = &node.items {
        check_defaults(items, &path.child("items"), errors);
    }
    if let node::Additional::Schema(values) = &node.additional {
        check_defaults(values, &path.child("additionalProperties"), errors);
    }
}

fn check_default(node: &Node, value: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let mut whole = value.clone();
    let unknown = prune::prune(node, &mut whole);
    if let Some(first) = unknown.first() {
        errors.push(FieldError::invalid(path, value, &format!("must not have unknown fields: {first}")));
        return;
    }
    default::fill(node, &mut whole);
    let mut found = Vec::new();
    // Short in the text, whole in the field: `properties[a].default: … default in body must be …`.
    validate::validate(node, &whole, None, &Path::Text("default"), &mut found);
    let parent = path.to_string();
    let parent = parent.strip_suffix("default").unwrap_or_default();
    for error in found {
        let field = if error.field.is_empty() { path.to_string() } else { format!("{parent}{}", error.field) };
        errors.push(FieldError { field, ..error });
    }
}
