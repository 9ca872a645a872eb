//! OpenAPI v3: one document per group version.

use rdd_registry::Group;
use serde_json::{Map, Value, json};

use super::language::Language;
use super::{definitions, meta, operations};

/// Returns the document of a group version.
pub(crate) fn document(group: &Group, version: &str, server_version: &str) -> Value {
    let mut paths = Map::new();
    let mut schemas = meta::definitions(Language::V3);
    for kind in &group.kinds {
        if let Some(version) = kind.version(version).filter(|v| v.served) {
            definitions::add(&mut schemas, kind, version, Language::V3);
            operations::add(&mut paths, kind, version, Language::V3);
        }
    }
    wrap(paths, schemas, server_version)
}

/// Returns a document without kinds, for the paths of discovery and the like.
pub(crate) fn plain(path: &str, server_version: &str) -> Value {
    let mut paths = Map::new();
    let answer = json!({"200": {"description": "OK"}, "401": {"description": "Unauthorized"}});
    paths.insert(path.to_owned(), json!({"get": {"responses": answer}}));
    wrap(paths, Map::new(), server_version)
}

fn wrap(paths: Map<String, Value>, schemas: Map<String, Value>, server_version: &str) -> Value {
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": server_version},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"BearerToken": {
                "type": "apiKey", "in": "header", "name": "authorization", "description": "Bearer Token authentication",
            }},
        },
    })
}
