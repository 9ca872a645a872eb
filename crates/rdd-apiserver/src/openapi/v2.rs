//! OpenAPI v2: one document for everything.

use rdd_registry::Kinds;
use serde_json::{Map, Value, json};

use super::language::Language;
use super::{definitions, meta, operations};

/// Returns the document.
pub(crate) fn document(kinds: &Kinds, server_version: &str) -> Value {
    let mut paths = Map::new();
    let mut schemas = meta::definitions(Language::V2);
    for group in kinds.groups() {
        for kind in &group.kinds {
            for version in kind.versions.iter().filter(|v| v.served) {
                definitions::add(&mut schemas, kind, version, Language::V2);
                operations::add(&mut paths, kind, version, Language::V2);
            }
        }
    }
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": server_version},
        "paths": paths,
        "definitions": schemas,
        "securityDefinitions": {"BearerToken": {
            "type": "apiKey", "in": "header", "name": "authorization", "description": "Bearer Token authentication",
        }},
        "security": [{"BearerToken": []}],
    })
}
