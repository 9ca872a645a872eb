//! What a CustomResourceDefinition must look like (`apiextensions` validation, in its words).

use rdd_api::{FieldError, object};
use rdd_schema::Schema;
use rdd_schema::jsonpath::JsonPath;
use rdd_schema::validation::{dns1035_label, dns1123_subdomain};
use serde_json::{Value, json};

const APPROVED_ANNOTATION: &str = "api-approved.kubernetes.io";
const SELECTABLE_FIELDS_LIMIT: usize = 8;
const WARNING_LIMIT: usize = 256;

pub(super) fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn name(crd: &Value, errors: &mut Vec<FieldError>) {
    let expect = format!("{}.{}", text(crd, "/spec/names/plural"), text(crd, "/spec/group"));
    let name = object::name(crd);
    if name != expect {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid("metadata.name", &json!(name), detail));
    }
}

pub(super) fn group(crd: &Value, errors: &mut Vec<FieldError>) {
    let group = text(crd, "/spec/group");
    if group.is_empty() {
        errors.push(FieldError::required("spec.group", ""));
        return;
    }
    for detail in dns1123_subdomain(group) {
        errors.push(FieldError::invalid("spec.group", &json!(group), &detail));
    }
    if !group.contains('.') {
        errors.push(FieldError::invalid("spec.group", &json!(group), "should be a domain with at least one dot"));
    }
    let protected = [".k8s.io", ".kubernetes.io"].iter().any(|suffix| group.ends_with(suffix) || group == &suffix[1..]);
    if !protected {
        return;
    }
    let path = format!("metadata.annotations[{APPROVED_ANNOTATION}]");
    match object::annotation(crd, APPROVED_ANNOTATION) {
        None | Some("") => {
            let detail = "protected groups must have approval annotation \"api-approved.kubernetes.io\", see \
                 https://github.com/kubernetes/enhancements/pull/1111";
            errors.push(FieldError::required(path, detail));
        }
        Some(value) if value.starts_with("unapproved") || value.contains("://") => {}
        Some(value) => {
            let detail = "protected groups must have approval annotation \"api-approved.kubernetes.io\" with either a \
                          URL or a reason starting with \"unapproved\"";
            errors.push(FieldError::invalid(path, &json!(value), detail));
        }
    }
}

pub(super) fn scope(crd: &Value, errors: &mut Vec<FieldError>) {
    match text(crd, "/spec/scope") {
        "" => errors.push(FieldError::required("spec.scope", "")),
        "Cluster" | "Namespaced" => {}
        other => errors.push(FieldError::not_supported("spec.scope", &json!(other), &["Cluster", "Namespaced"])),
    }
}

pub(super) fn names(crd: &Value, errors: &mut Vec<FieldError>) {
    let mut label = |path: String, value: &str, required: bool| {
        if value.is_empty() {
            if required {
                errors.push(FieldError::required(path, ""));
            }
            return;
        }
        for detail in dns1035_label(&value.to_lowercase()) {
            errors.push(FieldError::invalid(&path, &json!(value), &detail));
        }
        // Kinds may have capitals, everything else may not.
        if !path.to_lowercase().ends_with("kind") && value.to_lowercase() != value {
            errors.push(FieldError::invalid(
                &path,
                &json!(value),
                "a DNS-1035 label must consist of lower case alphanumeric characters or '-'",
            ));
        }
    };
    for (field, required) in [("plural", true), ("singular", false), ("kind", true), ("listKind", false)] {
        label(format!("spec.names.{field}"), text(crd, &format!("/spec/names/{field}")), required);
    }
    for field in ["shortNames", "categories"] {
        let list = crd.pointer(&format!("/spec/names/{field}")).and_then(Value::as_array);
        for (index, name) in list.into_iter().flatten().enumerate() {
            label(format!("spec.names.{field}[{index}]"), name.as_str().unwrap_or_default(), true);
        }
    }
    let (kind, list_kind) = (text(crd, "/spec/names/kind"), text(crd, "/spec/names/listKind"));
    if !kind.is_empty() && kind == list_kind {
        let detail = "kind and listKind may not be the same";
        errors.push(FieldError::invalid("spec.names.listKind", &json!(list_kind), detail));
    }
}

pub(super) fn versions(crd: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let empty = Vec::new();
    let versions = crd.pointer("/spec/versions").and_then(Value::as_array).unwrap_or(&empty);
    if versions.is_empty() {
        errors.push(FieldError::required("spec.versions", "must have exactly one version marked as storage version"));
        return;
    }
    let mut seen: Vec<&str> = Vec::new();
    for (index, version) in versions.iter().enumerate() {
        let path = format!("spec.versions[{index}]");
        let name = text(version, "/name");
        for detail in dns1035_label(name) {
            errors.push(FieldError::invalid(format!("{path}.name"), &json!(name), &detail));
        }
        if seen.contains(&name) {
            errors.push(FieldError::invalid("spec.versions", &json!(name), "must contain unique version names"));
        }
        seen.push(name);
        one_version(version, old, &path, errors);
    }
    let storage = versions.iter().filter(|v| v["storage"] == json!(true)).count();
    if storage != 1 {
        let names: Vec<&str> = versions.iter().map(|v| text(v, "/name")).collect();
        let detail = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid("spec.versions", &json!(names), detail));
    }
}

fn one_version(version: &Value, old: Option<&Value>, path: &str, errors: &mut Vec<FieldError>) {
    let schema_path = format!("{path}.schema.openAPIV3Schema");
    match version.pointer("/schema/openAPIV3Schema").filter(|s| !s.is_null()) {
        None => errors.push(FieldError::required(schema_path, "schemas are required")),
        Some(schema) => {
            // A schema that was admitted before stays admitted.
            let known = old
                .and_then(|o| o.pointer("/spec/versions"))
                .and_then(Value::as_array)
                .is_some_and(|list| list.iter().any(|v| v.pointer("/schema/openAPIV3Schema") == Some(schema)));
            if !known && let Err(found) = Schema::parse_at(schema, &schema_path) {
                errors.extend(found);
            }
        }
    }
    if let Some(warning) = version.get("deprecationWarning").filter(|w| !w.is_null()) {
        let warning_path = format!("{path}.deprecationWarning");
        if version.get("deprecated") != Some(&json!(true)) {
            errors.push(FieldError::invalid(warning_path, warning, "can only be set for deprecated versions"));
        } else if warning.as_str().is_none_or(|w| w.is_empty() || w.len() > WARNING_LIMIT) {
            let detail = format!("must be between 1 and {WARNING_LIMIT} bytes long");
            errors.push(FieldError::invalid(warning_path, warning, &detail));
        }
    }
    columns(version, path, errors);
    scale(version, path, errors);
    selectable_fields(version, path, errors);
}

fn is_simple_path(path: &str) -> bool {
    path.starts_with('.') && JsonPath::parse_column(path).is_ok()
}

fn columns(version: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let columns = version.get("additionalPrinterColumns").and_then(Value::as_array);
    for (index, column) in columns.into_iter().flatten().enumerate() {
        let path = format!("{path}.additionalPrinterColumns[{index}]");
        if text(column, "/name").is_empty() {
            errors.push(FieldError::required(format!("{path}.name"), ""));
        }
        let kinds = ["boolean", "date", "integer", "number", "string"];
        match text(column, "/type") {
            "" => {
                let detail = format!("must be one of {}", kinds.join(","));
                errors.push(FieldError::required(format!("{path}.type"), &detail));
            }
            kind if !kinds.contains(&kind) => {
                let detail = format!("must be one of {}", kinds.join(","));
                errors.push(FieldError::invalid(format!("{path}.type"), &json!(kind), &detail));
            }
            _ => {}
        }
        let formats = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
        let format = text(column, "/format");
        if !format.is_empty() && !formats.contains(&format) {
            let detail = format!("must be one of {}", formats.join(","));
            errors.push(FieldError::invalid(format!("{path}.format"), &json!(format), &detail));
        }
        match text(column, "/jsonPath") {
            "" => errors.push(FieldError::required(format!("{path}.jsonPath"), "")),
            json_path if !is_simple_path(json_path) => {
                let detail = "must be a simple json path starting with .";
                errors.push(FieldError::invalid(format!("{path}.jsonPath"), &json!(json_path), detail));
            }
            _ => {}
        }
    }
}

fn scale(version: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(scale) = version.pointer("/subresources/scale").filter(|s| !s.is_null()) else { return };
    let path = format!("{path}.subresources.scale");
    let mut check = |field: &str, prefixes: &[&str], required: bool| {
        let value = text(scale, &format!("/{field}"));
        let path = format!("{path}.{field}");
        if value.is_empty() {
            if required {
                errors.push(FieldError::required(path, ""));
            }
        } else if !prefixes.iter().any(|p| value.starts_with(p)) || value.contains(['[', ']', '*']) {
            let detail = format!("should be a json path under {}", prefixes.join(" or "));
            errors.push(FieldError::invalid(path, &json!(value), &detail));
        }
    };
    check("specReplicasPath", &[".spec."], true);
    check("statusReplicasPath", &[".status."], true);
    check("labelSelectorPath", &[".spec.", ".status."], false);
}

fn selectable_fields(version: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let empty = Vec::new();
    let fields = version.get("selectableFields").and_then(Value::as_array).unwrap_or(&empty);
    if fields.len() > SELECTABLE_FIELDS_LIMIT {
        let path = format!("{path}.selectableFields");
        errors.push(FieldError::too_many(path, fields.len(), SELECTABLE_FIELDS_LIMIT));
    }
    let mut seen: Vec<&str> = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        let path = format!("{path}.selectableFields[{index}].jsonPath");
        let json_path = text(field, "/jsonPath");
        if json_path.is_empty() {
            errors.push(FieldError::required(path, ""));
        } else if !is_simple_path(json_path) || json_path.contains(['[', '*']) {
            errors.push(FieldError::invalid(path, &json!(json_path), "is an invalid path: must be a simple json path"));
        } else if json_path == ".metadata" || json_path.starts_with(".metadata.") {
            errors.push(FieldError::invalid(path, &json!(json_path), "must not point to fields in metadata"));
        } else if seen.contains(&json_path) {
            errors.push(FieldError::duplicate(path, &json!(json_path)));
        } else if !points_to_scalar(version.pointer("/schema/openAPIV3Schema"), json_path) {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings \
                          with formats are allowed.";
            errors.push(FieldError::invalid(path, &json!(json_path), detail));
        }
        seen.push(json_path);
    }
}

fn points_to_scalar(schema: Option<&Value>, json_path: &str) -> bool {
    let mut at = schema;
    for key in json_path.split('.').skip(1) {
        at = at.and_then(|s| s.get("properties")).and_then(|p| p.get(key));
    }
    at.is_some_and(|s| ["string", "boolean", "integer"].contains(&text(s, "/type")))
}

pub(super) fn stored_versions(crd: &Value, errors: &mut Vec<FieldError>) {
    let versions = crd.pointer("/spec/versions").and_then(Value::as_array);
    let stored = crd.pointer("/status/storedVersions").and_then(Value::as_array);
    for (index, name) in stored.into_iter().flatten().enumerate() {
        if versions.is_none_or(|list| !list.iter().any(|v| v.get("name") == Some(name))) {
            let path = format!("status.storedVersions[{index}]");
            let detail = format!(
                "missing from spec.versions; {} was previously a storage version, and must remain in spec.versions \
                 until a storage migration ensures no data remains persisted in {} and removes {} from \
                 status.storedVersions",
                name.as_str().unwrap_or_default(),
                name.as_str().unwrap_or_default(),
                name.as_str().unwrap_or_default(),
            );
            errors.push(FieldError::invalid(path, name, &detail));
        }
    }
}
