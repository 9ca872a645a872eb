//! From a CustomResourceDefinition to a kind: which names it gets, and the entry in the table.

use std::sync::Arc;

use jiff::Timestamp;
use rdd_api::object;
use rdd_schema::Schema;
use rdd_schema::jsonpath::JsonPath;
use rdd_schema::validation::NameFormat;
use serde_json::{Value, json};

use crate::column::{Cell, Column};
use crate::conditions::set_condition;
use crate::kind::{Custom, Kind, Manners, Scope, SelectableField, Storage, Version, full_verbs};
use crate::scale::Scale;
use crate::strategy::PlainStrategy;
use crate::version_order::compare_versions;

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn texts(value: &Value, path: &str) -> Vec<String> {
    let list = value.pointer(path).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Returns whether a condition of a CRD is `True`.
pub fn has_condition(crd: &Value, kind: &str) -> bool {
    let conditions = crd.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|c| c["type"] == kind && c["status"] == "True")
}

/// Returns whether the CRD's objects are served.
pub fn is_established(crd: &Value) -> bool {
    has_condition(crd, "Established")
}

/// Returns the name of the version at which objects are stored.
pub(crate) fn storage_version_name(crd: &Value) -> Option<&str> {
    let versions = crd.pointer("/spec/versions").and_then(Value::as_array)?;
    versions.iter().find(|v| v["storage"] == json!(true))?.get("name")?.as_str()
}

/// Brings the status of a CRD up to date: the names that it gets beside the `others` (all CRDs; those of
/// other groups and itself are left out), and whether it is established. Returns the CRD with the new status.
pub fn with_names(crd: &Value, others: &[Arc<Value>], now: Timestamp) -> Value {
    let mut out = crd.clone();
    let group = text(crd, "/spec/group");
    let others: Vec<&Value> = others
        .iter()
        .map(AsRef::as_ref)
        .filter(|o| text(o, "/spec/group") == group && object::name(o) != object::name(crd))
        .collect();
    let mut resources: Vec<String> = Vec::new();
    let mut kinds: Vec<String> = Vec::new();
    for other in others {
        for field in ["plural", "singular"] {
            resources.push(text(other, &format!("/status/acceptedNames/{field}")).to_owned());
        }
        resources.extend(texts(other, "/status/acceptedNames/shortNames"));
        for field in ["kind", "listKind"] {
            kinds.push(text(other, &format!("/status/acceptedNames/{field}")).to_owned());
        }
    }
    let taken = |pool: &[String], name: &str| !name.is_empty() && pool.iter().any(|n| n == name);
    let spec = crd.pointer("/spec/names").cloned().unwrap_or_default();
    let accepted_before = crd.pointer("/status/acceptedNames").cloned().unwrap_or_default();
    let mut accepted = json!({});
    let mut conflict: Option<(&str, String)> = None;
    // Of several conflicts the last one is told, as upstream does.
    for (field, reason, pool) in [
        ("plural", "PluralConflict", &resources),
        ("singular", "SingularConflict", &resources),
        ("shortNames", "ShortNamesConflict", &resources),
        ("kind", "KindConflict", &kinds),
        ("listKind", "ListKindConflict", &kinds),
    ] {
        let wanted = spec.get(field).cloned().unwrap_or_default();
        let names: Vec<&str> = match &wanted {
            Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
            other => other.as_str().into_iter().collect(),
        };
        let clashes: Vec<String> =
            names.iter().filter(|n| taken(pool, n)).map(|n| format!("\"{n}\" is already in use")).collect();
        let value = if clashes.is_empty() {
            wanted
        } else {
            conflict = Some((reason, clashes.join(", ")));
            accepted_before.get(field).cloned().unwrap_or_default()
        };
        let empty = match &value {
            Value::Array(list) => list.is_empty(),
            other => other.as_str().is_none_or(str::is_empty),
        };
        if !empty {
            accepted[field] = value;
        } else if field == "plural" || field == "kind" {
            accepted[field] = json!("");
        }
    }
    let categories = texts(&spec, "/categories");
    if !categories.is_empty() {
        accepted["categories"] = json!(categories);
    }
    if !out.get("status").is_some_and(Value::is_object) {
        out["status"] = json!({});
    }
    out["status"]["acceptedNames"] = accepted;
    match &conflict {
        None => set_condition(&mut out, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now),
        Some((reason, message)) => set_condition(&mut out, "NamesAccepted", "False", reason, message, now),
    }
    // Once established it stays so: later conflicts do not take objects away.
    if !is_established(crd) {
        if conflict.is_none() {
            let message = "the initial names have been accepted";
            set_condition(&mut out, "Established", "True", "InitialNamesAccepted", message, now);
        } else {
            let message = "not all names are accepted";
            set_condition(&mut out, "Established", "False", "NotAccepted", message, now);
        }
    }
    out
}

/// Returns whether [`with_names`] has nothing to decide: a CRD that has all the names it wants keeps them, whatever the
/// others do.
pub fn has_its_names(crd: &Value) -> bool {
    let names = |path: &str, field: &str| {
        let value = crd.pointer(&format!("{path}/{field}")).cloned().unwrap_or_default();
        let empty = match &value {
            Value::Array(list) => list.is_empty(),
            other => other.as_str().is_none_or(str::is_empty),
        };
        if empty { Value::Null } else { value }
    };
    has_condition(crd, "NamesAccepted")
        && is_established(crd)
        && ["plural", "singular", "shortNames", "kind", "listKind", "categories"]
            .iter()
            .all(|field| names("/spec/names", field) == names("/status/acceptedNames", field))
}

/// Returns a text that differs whenever the CRD would make another kind.
pub fn stamp(crd: &Value) -> String {
    // Every change of the spec, and the beginning of deletion, make a generation.
    let names = crd.pointer("/status/acceptedNames").cloned().unwrap_or_default();
    format!("{}/{}/{names}", object::uid(crd), object::generation(crd))
}

/// Makes the kind of an established CRD; `None` if it is not established.
///
/// The CRD was validated when it was written, so what does not fit here is left out: a column, a version.
pub fn compile(crd: &Value) -> Option<Kind> {
    if !is_established(crd) {
        return None;
    }
    let names = crd.pointer("/status/acceptedNames")?;
    let (group, resource, kind) = (text(crd, "/spec/group"), text(names, "/plural"), text(names, "/kind"));
    let mut versions: Vec<Version> =
        crd.pointer("/spec/versions")?.as_array()?.iter().map(|version| compile_version(crd, version)).collect();
    if versions.is_empty() || resource.is_empty() || kind.is_empty() {
        return None;
    }
    versions.sort_by(|a, b| compare_versions(&a.name, &b.name));
    Some(Kind {
        group: group.to_owned(),
        resource: resource.to_owned(),
        singular: text(names, "/singular").to_owned(),
        kind: kind.to_owned(),
        list_kind: Some(text(names, "/listKind"))
            .filter(|n| !n.is_empty())
            .map_or(format!("{kind}List"), str::to_owned),
        short_names: texts(names, "/shortNames"),
        categories: texts(names, "/categories"),
        scope: if text(crd, "/spec/scope") == "Cluster" { Scope::Cluster } else { Scope::Namespaced },
        versions,
        verbs: full_verbs(),
        subresources: Vec::new(),
        name_format: NameFormat::Subdomain,
        manners: Manners {
            generation: true,
            unconditional_update: false,
            create_on_update: false,
            return_deleted: false,
        },
        strategy: Arc::new(PlainStrategy),
        storage: Storage { group: group.to_owned(), resource: resource.to_owned() },
        ttl: None,
        custom: Some(Custom {
            name: object::name(crd).to_owned(),
            uid: object::uid(crd).to_owned(),
            terminating: object::is_terminating(crd),
            stamp: stamp(crd),
        }),
        id: Kind::next_id(),
    })
}

fn compile_version(crd: &Value, version: &Value) -> Version {
    let name = text(version, "/name").to_owned();
    let raw = version.pointer("/schema/openAPIV3Schema").cloned().unwrap_or_else(|| json!({"type": "object"}));
    let scale = version.pointer("/subresources/scale").filter(|s| s.is_object()).map(|scale| Scale {
        spec_replicas_path: text(scale, "/specReplicasPath").to_owned(),
        status_replicas_path: text(scale, "/statusReplicasPath").to_owned(),
        label_selector_path: Some(text(scale, "/labelSelectorPath").to_owned()).filter(|p| !p.is_empty()),
    });
    let selectable = version.get("selectableFields").and_then(Value::as_array);
    Version {
        served: version["served"] == json!(true),
        storage: version["storage"] == json!(true),
        schema: Arc::new(Schema::trusted(raw)),
        columns: compile_columns(version),
        status_subresource: version.pointer("/subresources/status").is_some_and(|s| !s.is_null()),
        scale,
        selectable_fields: selectable
            .into_iter()
            .flatten()
            .map(|f| SelectableField::plain(text(f, "/jsonPath").trim_start_matches('.')))
            .collect(),
        deprecated: deprecation(crd, version),
        message: None,
        name,
    }
}

fn compile_columns(version: &Value) -> Vec<Column> {
    let mut columns = vec![Column::name()];
    let declared = version.get("additionalPrinterColumns").and_then(Value::as_array).filter(|c| !c.is_empty());
    let Some(declared) = declared else {
        let mut age = Column::age();
        age.kind = "date".to_owned();
        columns.push(age);
        return columns;
    };
    for column in declared {
        let path = text(column, "/jsonPath");
        let Ok(parsed) = JsonPath::parse_column(path) else { break };
        let description = match text(column, "/description") {
            "" => format!("Custom resource definition column (in JSONPath format): {path}"),
            description => description.to_owned(),
        };
        columns.push(Column {
            name: text(column, "/name").to_owned(),
            kind: text(column, "/type").to_owned(),
            format: text(column, "/format").to_owned(),
            description,
            priority: column.get("priority").and_then(Value::as_i64).unwrap_or_default(),
            cell: Cell::Path(parsed),
        });
    }
    columns
}

fn deprecation(crd: &Value, version: &Value) -> Option<String> {
    if version["deprecated"] != json!(true) {
        return None;
    }
    if let Some(warning) = version.get("deprecationWarning").and_then(Value::as_str) {
        return Some(warning.to_owned());
    }
    let (group, kind, name) = (text(crd, "/spec/group"), text(crd, "/spec/names/kind"), text(version, "/name"));
    let mut warning = format!("{group}/{name} {kind} is deprecated");
    let mut newer: Vec<&str> = crd
        .pointer("/spec/versions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|v| v["served"] == json!(true) && v["deprecated"] != json!(true))
        .map(|v| text(v, "/name"))
        .filter(|other| compare_versions(other, name).is_lt())
        .collect();
    newer.sort_by(|a, b| compare_versions(a, b));
    if let Some(newest) = newer.first() {
        warning.push_str(&format!("; use {group}/{newest} {kind}"));
    }
    Some(warning)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crd(plural: &str, kind: &str, short: &[&str]) -> Value {
        json!({
            "metadata": {"name": format!("{plural}.example.com"), "uid": "u"},
            "spec": {"group": "example.com", "scope": "Namespaced",
                "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind,
                    "listKind": format!("{kind}List"), "shortNames": short},
                "versions": [
                    {"name": "v1beta1", "served": true, "storage": false, "deprecated": true},
                    {"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                     "additionalPrinterColumns": [{"name": "N", "type": "integer", "jsonPath": ".spec.n"}]}]},
        })
    }

    fn condition(crd: &Value, kind: &str) -> (String, String) {
        let list = crd["status"]["conditions"].as_array().expect("conditions");
        let found = list.iter().find(|c| c["type"] == kind).expect("the condition");
        (text(found, "/status").to_owned(), text(found, "/reason").to_owned())
    }

    #[test]
    fn the_first_crd_gets_its_names() {
        let now = Timestamp::UNIX_EPOCH;
        let first = with_names(&crd("widgets", "Widget", &["wd"]), &[], now);
        assert_eq!(condition(&first, "NamesAccepted"), ("True".into(), "NoConflicts".into()));
        assert_eq!(condition(&first, "Established"), ("True".into(), "InitialNamesAccepted".into()));
        assert_eq!(
            first["status"]["acceptedNames"],
            json!({"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList",
                "shortNames": ["wd"]})
        );
        assert!(has_its_names(&first) && !has_its_names(&crd("widgets", "Widget", &["wd"])));
        let mut renamed = first.clone();
        renamed["spec"]["names"]["shortNames"] = json!([]);
        assert!(!has_its_names(&renamed));
        // Itself is no conflict, and looking again changes nothing.
        let again = with_names(&first, &[Arc::new(first.clone())], now);
        assert_eq!(again, first);

        let others = [Arc::new(first)];
        let cases = [
            (crd("gadgets", "Widget", &[]), "ListKindConflict"),
            (crd("gadgets", "Gadget", &["wd"]), "ShortNamesConflict"),
            (crd("wd", "Gadget", &[]), "PluralConflict"),
        ];
        for (second, reason) in cases {
            let second = with_names(&second, &others, now);
            assert_eq!(condition(&second, "NamesAccepted"), ("False".into(), reason.into()));
            assert_eq!(condition(&second, "Established"), ("False".into(), "NotAccepted".into()));
            assert!(compile(&second).is_none() && !has_its_names(&second));
        }
    }

    #[test]
    fn a_kind_is_compiled_with_the_preferred_version_first() {
        let kind = compile(&with_names(&crd("widgets", "Widget", &[]), &[], Timestamp::UNIX_EPOCH)).expect("a kind");
        let names: Vec<&str> = kind.versions.iter().map(|v| v.name.as_str()).collect();
        assert_eq!(names, ["v1", "v1beta1"]);
        assert_eq!(kind.storage_version().name, "v1");
        assert!(kind.versions[0].status_subresource && !kind.versions[1].status_subresource);
        assert_eq!(
            kind.versions[1].deprecated.as_deref(),
            Some("example.com/v1beta1 Widget is deprecated; use example.com/v1 Widget")
        );
        assert_eq!(kind.versions[0].columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["Name", "N"]);
        assert_eq!(kind.versions[1].columns[1].name, "Age");
    }
}
