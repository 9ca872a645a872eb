//! Pruning: removing what a schema does not know.

use serde_json::{Map, Value};

use crate::metadata;
use crate::node::{Additional, Node};
use crate::path::Path;

/// Prunes and returns the paths of what was removed.
pub(crate) fn prune(root: &Node, object: &mut Value) -> Vec<String> {
    let mut unknown = Vec::new();
    node(root, object, &Path::Root, &mut unknown);
    unknown
}

fn node(schema: &Node, value: &mut Value, path: &Path<'_>, unknown: &mut Vec<String>) {
    match value {
        Value::Object(map) => object(schema, map, path, unknown),
        Value::Array(items) => {
            // Without a schema for items there is nothing to say about what they hold.
            let Some(schema) = &schema.items else { return };
            for (index, item) in items.iter_mut().enumerate() {
                node(schema, item, &path.index(index), unknown);
            }
        }
        _ => {}
    }
}

fn object(schema: &Node, map: &mut Map<String, Value>, path: &Path<'_>, unknown: &mut Vec<String>) {
    let keeps_all = schema.preserve_unknown || matches!(schema.additional, Additional::Any);
    map.retain(|key, value| {
        let here = path.child(key);
        if schema.embedded && metadata::is_implicit(key) {
            if key == "metadata" {
                node(metadata::schema(), value, &here, unknown);
            }
            return true;
        }
        match schema.child(key) {
            Some(child) => node(child, value, &here, unknown),
            None if keeps_all => {}
            None => {
                unknown.push(here.to_string());
                return false;
            }
        }
        true
    });
}
