//! The four kinds of `rbac.authorization.k8s.io`: roles and bindings, in a namespace or for the cluster.

use std::sync::Arc;

use jiff::Timestamp;
use rdd_schema::protobuf::{self, Message};
use rdd_schema::validation::NameFormat;
use serde_json::{Value, json};

use crate::builtin::draft::{Draft, UNCONDITIONAL};
use crate::builtin::role::RoleStrategy;
use crate::builtin::role_binding::RoleBindingStrategy;
use crate::column::Column;
use crate::kind::{Kind, Manners, Scope};
use crate::strategy::Strategy;

const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) fn roles() -> Kind {
    let strategy = Arc::new(RoleStrategy { scope: Scope::Namespaced });
    let columns = vec![Column::name(), Column::created()];
    make("roles", "Role", Scope::Namespaced, include_str!("schemas/role.json"), columns, strategy, &protobuf::ROLE)
}

pub(super) fn role_bindings() -> Kind {
    let strategy = Arc::new(RoleBindingStrategy { scope: Scope::Namespaced });
    let (schema, message) = (include_str!("schemas/rolebinding.json"), &protobuf::ROLE_BINDING);
    make("rolebindings", "RoleBinding", Scope::Namespaced, schema, binding_columns(), strategy, message)
}

pub(super) fn cluster_roles() -> Kind {
    let strategy = Arc::new(RoleStrategy { scope: Scope::Cluster });
    let columns = vec![Column::name(), Column::created()];
    let (schema, message) = (include_str!("schemas/clusterrole.json"), &protobuf::CLUSTER_ROLE);
    make("clusterroles", "ClusterRole", Scope::Cluster, schema, columns, strategy, message)
}

pub(super) fn cluster_role_bindings() -> Kind {
    let strategy = Arc::new(RoleBindingStrategy { scope: Scope::Cluster });
    let (schema, message) = (include_str!("schemas/clusterrolebinding.json"), &protobuf::CLUSTER_ROLE_BINDING);
    make("clusterrolebindings", "ClusterRoleBinding", Scope::Cluster, schema, binding_columns(), strategy, message)
}

fn make(
    resource: &'static str,
    name: &'static str,
    scope: Scope,
    schema: &'static str,
    columns: Vec<Column>,
    strategy: Arc<dyn Strategy>,
    message: &'static Message,
) -> Kind {
    let mut kind = Draft {
        group: GROUP,
        resource,
        singular: "",
        kind: name,
        short_names: &[],
        scope,
        schema,
        columns,
        manners: Manners { create_on_update: true, ..UNCONDITIONAL },
        strategy,
        message,
    }
    .finish();
    kind.singular = name.to_lowercase();
    // `system:basic-user` is a fine name here.
    kind.name_format = NameFormat::PathSegment;
    kind
}

fn binding_columns() -> Vec<Column> {
    vec![
        Column::name(),
        Column::computed("Role", "string", 0, "RoleRef can reference a Role or a ClusterRole.", role),
        Column::age(),
        Column::computed("Users", "string", 1, "Users in the roleBinding", |o, _| subjects(o, "User")),
        Column::computed("Groups", "string", 1, "Groups in the roleBinding", |o, _| subjects(o, "Group")),
        Column::computed("ServiceAccounts", "string", 1, "ServiceAccounts in the roleBinding", |o, _| {
            subjects(o, "ServiceAccount")
        }),
    ]
}

fn role(object: &Value, _now: Timestamp) -> Value {
    let text = |key: &str| object.pointer(&format!("/roleRef/{key}")).and_then(Value::as_str).unwrap_or_default();
    json!(format!("{}/{}", text("kind"), text("name")))
}

fn subjects(object: &Value, kind: &str) -> Value {
    let all = object.get("subjects").and_then(Value::as_array).into_iter().flatten();
    let names: Vec<String> = all.filter(|subject| subject["kind"] == kind).map(subject_name).collect();
    json!(names.join(", "))
}

fn subject_name(subject: &Value) -> String {
    let name = subject["name"].as_str().unwrap_or_default();
    match subject["namespace"].as_str() {
        Some(namespace) if subject["kind"] == "ServiceAccount" => format!("{namespace}/{name}"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_shows_its_role_and_its_subjects() {
        let binding = json!({
            "metadata": {"name": "b"},
            "roleRef": {"kind": "ClusterRole", "name": "view"},
            "subjects": [
                {"kind": "User", "name": "ann"}, {"kind": "Group", "name": "g"}, {"kind": "User", "name": "bob"},
                {"kind": "ServiceAccount", "name": "sa", "namespace": "n"},
            ],
        });
        let kind = role_bindings();
        let cells: Vec<Value> =
            kind.versions[0].columns.iter().map(|c| c.cell(&binding, Timestamp::UNIX_EPOCH)).collect();
        assert_eq!(json!(cells), json!(["b", "ClusterRole/view", "<unknown>", "ann, bob", "g", "n/sa"]));
    }
}
