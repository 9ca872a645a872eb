//! The schemas of the served kinds, and what they are called.

use rdd_registry::{Kind, Version, builtin};
use serde_json::{Map, Value, json};

use super::language::Language;
use super::meta;

/// The name of a kind's schema: upstream's Go package for built-in kinds, the reversed group for
/// custom ones.
pub(super) fn name(kind: &Kind, version: &str) -> String {
    let short = &kind.kind;
    match kind.group.as_str() {
        "" => format!("io.k8s.api.core.{version}.{short}"),
        "apiextensions.k8s.io" => {
            format!("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.{version}.{short}")
        }
        "apiregistration.k8s.io" => {
            format!("io.k8s.kube-aggregator.pkg.apis.apiregistration.{version}.{short}")
        }
        group if kind.custom.is_none() && group.ends_with(".k8s.io") => {
            let first = group.split('.').next().unwrap_or_default();
            format!("io.k8s.api.{first}.{version}.{short}")
        }
        group => {
            let reversed: Vec<&str> = group.split('.').rev().collect();
            format!("{}.{version}.{short}", reversed.join("."))
        }
    }
}

/// The name of the schema of a kind's list.
pub(super) fn list_name(kind: &Kind, version: &str) -> String {
    let name = name(kind, version);
    let prefix = name.strip_suffix(&kind.kind).unwrap_or(&name);
    format!("{prefix}{}", kind.list_kind)
}

/// Adds the schemas of a kind, of its list, and of what its subresources take.
pub(super) fn add(into: &mut Map<String, Value>, kind: &Kind, version: &Version, language: Language) {
    add_own(into, kind, version, language);
    if kind.subresources.iter().any(|(name, _)| *name == "token") {
        let request = builtin::token_request();
        add_own(into, request, request.storage_version(), language);
    }
}

fn add_own(into: &mut Map<String, Value>, kind: &Kind, version: &Version, language: Language) {
    let own = name(kind, &version.name);
    let gvk = |name: &str| json!([{"group": kind.group, "version": version.name, "kind": name}]);

    let mut schema = match language {
        Language::V2 => version.schema.to_openapi_v2(),
        Language::V3 => version.schema.to_openapi_v3(),
    };
    if !schema.is_object() {
        schema = json!({});
    }
    schema["type"] = json!("object");
    let open = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&json!(true));
    if !(open && language == Language::V2) {
        meta::add_type(&mut schema);
        let description = "Standard object's metadata. More info: \
                           https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";
        schema["properties"]["metadata"] = language.property(&meta::name("ObjectMeta"), description);
    }
    schema["x-kubernetes-group-version-kind"] = gvk(&kind.kind);

    into.insert(own.clone(), schema);
    if !kind.is_stored() {
        return;
    }
    let mut list = json!({
        "type": "object", "required": ["items"],
        "description": format!("{} is a list of {}", kind.list_kind, kind.kind),
        "properties": {
            "items": {
                "type": "array", "items": language.reference(&own),
                "description": format!("List of {}.", kind.resource),
            },
            "metadata": language.property(&meta::name("ListMeta"), "Standard list metadata."),
        },
        "x-kubernetes-group-version-kind": gvk(&kind.list_kind),
    });
    meta::add_type(&mut list);
    into.insert(list_name(kind, &version.name), list);
}
