//! The list of built-in kinds.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rdd_schema::protobuf;
use rdd_schema::validation::NameFormat;
use serde_json::{Value, json};

use crate::builtin::config_map::ConfigMapStrategy;
use crate::builtin::custom_resource_definition::CrdStrategy;
use crate::builtin::draft::{Draft, UNCONDITIONAL, read};
use crate::builtin::event;
use crate::builtin::event::{CoreEventStrategy, EventStrategy};
use crate::builtin::lease::LeaseStrategy;
use crate::builtin::namespace::NamespaceStrategy;
use crate::builtin::rbac;
use crate::builtin::reviews;
use crate::builtin::secret::SecretStrategy;
use crate::builtin::webhook_configuration::WebhookConfigurationStrategy;
use crate::column::Column;
use crate::kind::{Kind, Manners, Scope, SelectableField, Storage};
use crate::strategy::PlainStrategy;

/// How long an Event lives after its last write.
const EVENT_TTL: Duration = Duration::from_secs(3600);

/// Returns the OpenAPI v3 schema of `metadata`, with its merge keys. The schemas of kinds leave it open.
pub fn object_meta() -> &'static Value {
    static OBJECT_META: LazyLock<Value> = LazyLock::new(|| read(include_str!("schemas/objectmeta.json")));
    &OBJECT_META
}

/// Makes the built-in kinds, in the order of discovery.
pub fn kinds() -> Vec<Arc<Kind>> {
    let kinds = [
        namespaces(),
        config_maps(),
        secrets(),
        service_accounts(),
        core_events(),
        webhook_configurations(true),
        webhook_configurations(false),
        custom_resource_definitions(),
        leases(),
        events(),
        rbac::roles(),
        rbac::role_bindings(),
        rbac::cluster_roles(),
        rbac::cluster_role_bindings(),
    ];
    kinds.into_iter().chain(reviews::kinds()).map(Arc::new).collect()
}

fn namespaces() -> Kind {
    let status = Column::computed("Status", "string", 0, "The status of the namespace", |o, _| {
        o.pointer("/status/phase").cloned().unwrap_or(json!(""))
    });
    let mut kind = Draft {
        group: "",
        resource: "namespaces",
        singular: "namespace",
        kind: "Namespace",
        short_names: &["ns"],
        scope: Scope::Cluster,
        schema: include_str!("schemas/namespace.json"),
        columns: vec![Column::name(), status, Column::age()],
        manners: Manners { return_deleted: true, ..UNCONDITIONAL },
        strategy: Arc::new(NamespaceStrategy),
        message: &protobuf::NAMESPACE,
    }
    .finish();
    kind.name_format = NameFormat::Label;
    // Namespaces are deleted one by one only: each has its own contents to go first.
    kind.verbs.retain(|v| *v != "deletecollection");
    kind.subresources = vec![("finalize", vec!["update"])];
    kind.versions[0].status_subresource = true;
    kind.versions[0].selectable_fields =
        vec![SelectableField::plain("status.phase"), SelectableField::at("name", "metadata.name")];
    kind
}

fn count(object: &Value, fields: &[&str]) -> Value {
    let counted = |field: &&str| match object.get(*field) {
        Some(Value::Object(map)) => map.len(),
        Some(Value::Array(list)) => list.len(),
        _ => 0,
    };
    json!(fields.iter().map(counted).sum::<usize>())
}

fn config_maps() -> Kind {
    let data = Column::computed("Data", "string", 0, "Data contains the configuration data.", |o, _| {
        json!(count(o, &["data", "binaryData"]).to_string())
    });
    Draft {
        group: "",
        resource: "configmaps",
        singular: "configmap",
        kind: "ConfigMap",
        short_names: &["cm"],
        scope: Scope::Namespaced,
        schema: include_str!("schemas/configmap.json"),
        columns: vec![Column::name(), data, Column::age()],
        manners: UNCONDITIONAL,
        strategy: Arc::new(ConfigMapStrategy),
        message: &protobuf::CONFIG_MAP,
    }
    .finish()
}

fn secrets() -> Kind {
    let kind_column = Column::computed("Type", "string", 0, "Used to facilitate programmatic handling.", |o, _| {
        o.get("type").cloned().unwrap_or(json!("Opaque"))
    });
    let data = Column::computed("Data", "string", 0, "Data contains the secret data.", |o, _| {
        json!(count(o, &["data"]).to_string())
    });
    let mut kind = Draft {
        group: "",
        resource: "secrets",
        singular: "secret",
        kind: "Secret",
        short_names: &[],
        scope: Scope::Namespaced,
        schema: include_str!("schemas/secret.json"),
        columns: vec![Column::name(), kind_column, data, Column::age()],
        manners: UNCONDITIONAL,
        strategy: Arc::new(SecretStrategy),
        message: &protobuf::SECRET,
    }
    .finish();
    kind.versions[0].selectable_fields = vec![SelectableField::plain("type")];
    kind
}

fn service_accounts() -> Kind {
    let secrets = Column::computed("Secrets", "string", 0, "The secrets that may be mounted.", |o, _| {
        json!(count(o, &["secrets"]).to_string())
    });
    let mut kind = Draft {
        group: "",
        resource: "serviceaccounts",
        singular: "serviceaccount",
        kind: "ServiceAccount",
        short_names: &["sa"],
        scope: Scope::Namespaced,
        schema: include_str!("schemas/serviceaccount.json"),
        columns: vec![Column::name(), secrets, Column::age()],
        manners: UNCONDITIONAL,
        strategy: Arc::new(PlainStrategy),
        message: &protobuf::SERVICE_ACCOUNT,
    }
    .finish();
    kind.subresources = vec![("token", vec!["create"])];
    kind
}

const EVENT_MANNERS: Manners = Manners { create_on_update: true, ..UNCONDITIONAL };

fn core_events() -> Kind {
    let mut kind = Draft {
        group: "",
        resource: "events",
        singular: "event",
        kind: "Event",
        short_names: &["ev"],
        scope: Scope::Namespaced,
        schema: include_str!("schemas/event.json"),
        columns: event::columns(),
        manners: EVENT_MANNERS,
        strategy: Arc::new(CoreEventStrategy),
        message: &protobuf::EVENT,
    }
    .finish();
    kind.ttl = Some(EVENT_TTL);
    kind.versions[0].selectable_fields = event::selectable_fields("involvedObject", "reportingComponent", "source");
    kind
}

fn events() -> Kind {
    let mut kind = Draft {
        group: "events.k8s.io",
        resource: "events",
        singular: "event",
        kind: "Event",
        short_names: &["ev"],
        scope: Scope::Namespaced,
        schema: include_str!("schemas/events.k8s.io.event.json"),
        columns: event::columns(),
        manners: EVENT_MANNERS,
        strategy: Arc::new(EventStrategy),
        message: &protobuf::EVENTS_EVENT,
    }
    .finish();
    kind.storage = Storage { group: String::new(), resource: "events".to_owned() };
    kind.ttl = Some(EVENT_TTL);
    kind.versions[0].selectable_fields =
        event::selectable_fields("regarding", "reportingController", "deprecatedSource");
    kind
}

fn leases() -> Kind {
    let holder = Column::computed("Holder", "string", 0, "The identity of the holder of the lease.", |o, _| {
        o.pointer("/spec/holderIdentity").cloned().unwrap_or(json!(""))
    });
    Draft {
        group: "coordination.k8s.io",
        resource: "leases",
        singular: "lease",
        kind: "Lease",
        short_names: &[],
        scope: Scope::Namespaced,
        schema: include_str!("schemas/lease.json"),
        columns: vec![Column::name(), holder, Column::age()],
        manners: Manners { create_on_update: true, unconditional_update: false, ..UNCONDITIONAL },
        strategy: Arc::new(LeaseStrategy),
        message: &protobuf::LEASE,
    }
    .finish()
}

fn custom_resource_definitions() -> Kind {
    let mut kind = Draft {
        group: "apiextensions.k8s.io",
        resource: "customresourcedefinitions",
        singular: "customresourcedefinition",
        kind: "CustomResourceDefinition",
        short_names: &["crd", "crds"],
        scope: Scope::Cluster,
        schema: include_str!("schemas/customresourcedefinition.json"),
        columns: vec![Column::name(), Column::created()],
        manners: Manners { generation: true, unconditional_update: false, ..UNCONDITIONAL },
        strategy: Arc::new(CrdStrategy),
        message: &protobuf::CUSTOM_RESOURCE_DEFINITION,
    }
    .finish();
    kind.categories = vec!["api-extensions".to_owned()];
    kind.versions[0].status_subresource = true;
    kind
}

fn webhook_configurations(mutating: bool) -> Kind {
    let description = "Webhooks indicates the number of webhooks registered in this configuration";
    let webhooks = Column::computed("Webhooks", "integer", 0, description, |o, _| count(o, &["webhooks"]));
    let draft = Draft {
        group: "admissionregistration.k8s.io",
        resource: "validatingwebhookconfigurations",
        singular: "validatingwebhookconfiguration",
        kind: "ValidatingWebhookConfiguration",
        short_names: &[],
        scope: Scope::Cluster,
        schema: include_str!("schemas/validatingwebhookconfiguration.json"),
        columns: vec![Column::name(), webhooks, Column::age()],
        manners: Manners { generation: true, unconditional_update: false, ..UNCONDITIONAL },
        strategy: Arc::new(WebhookConfigurationStrategy { mutating }),
        message: &protobuf::VALIDATING_WEBHOOK_CONFIGURATION,
    };
    let mut kind = match mutating {
        true => Draft {
            resource: "mutatingwebhookconfigurations",
            singular: "mutatingwebhookconfiguration",
            kind: "MutatingWebhookConfiguration",
            schema: include_str!("schemas/mutatingwebhookconfiguration.json"),
            message: &protobuf::MUTATING_WEBHOOK_CONFIGURATION,
            ..draft
        }
        .finish(),
        false => draft.finish(),
    };
    kind.categories = vec!["api-extensions".to_owned()];
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_kind_has_a_described_schema() {
        for kind in kinds() {
            let schema = kind.versions[0].schema.raw();
            assert!(schema["description"].is_string(), "{}", kind.kind);
            for (name, property) in schema["properties"].as_object().expect("properties") {
                let described = property["description"].is_string();
                assert!(described || ["metadata", "status"].contains(&name.as_str()), "{}.{name}", kind.kind);
            }
        }
        assert!(object_meta()["properties"]["ownerReferences"]["x-kubernetes-patch-merge-key"] == "uid");
    }
}
