//! What the built-in kinds differ in, and the rest of a kind, which they share.

use std::sync::Arc;

use rdd_schema::Schema;
use rdd_schema::protobuf::Message;
use rdd_schema::validation::NameFormat;
use serde_json::Value;

use crate::column::Column;
use crate::kind::{Kind, Manners, Scope, Storage, Version, full_verbs};
use crate::strategy::Strategy;

/// Reads an embedded schema.
pub(super) fn read(text: &str) -> Value {
    serde_json::from_str(text).expect("the embedded schemas are JSON, as a test checks")
}

/// What the built-in kinds differ in.
pub(super) struct Draft {
    pub(super) group: &'static str,
    pub(super) resource: &'static str,
    pub(super) singular: &'static str,
    pub(super) kind: &'static str,
    pub(super) short_names: &'static [&'static str],
    pub(super) scope: Scope,
    pub(super) schema: &'static str,
    pub(super) columns: Vec<Column>,
    pub(super) manners: Manners,
    pub(super) strategy: Arc<dyn Strategy>,
    pub(super) message: &'static Message,
}

impl Draft {
    pub(super) fn finish(self) -> Kind {
        let version = Version {
            name: "v1".to_owned(),
            served: true,
            storage: true,
            schema: Arc::new(Schema::trusted(read(self.schema))),
            columns: self.columns,
            status_subresource: false,
            scale: None,
            selectable_fields: Vec::new(),
            deprecated: None,
            message: Some(self.message),
        };
        Kind {
            group: self.group.to_owned(),
            resource: self.resource.to_owned(),
            singular: self.singular.to_owned(),
            kind: self.kind.to_owned(),
            list_kind: format!("{}List", self.kind),
            short_names: self.short_names.iter().map(|n| (*n).to_owned()).collect(),
            categories: Vec::new(),
            scope: self.scope,
            versions: vec![version],
            verbs: full_verbs(),
            subresources: Vec::new(),
            name_format: NameFormat::Subdomain,
            manners: self.manners,
            strategy: self.strategy,
            storage: Storage { group: self.group.to_owned(), resource: self.resource.to_owned() },
            ttl: None,
            custom: None,
            id: Kind::next_id(),
        }
    }
}

/// The manners of most built-in kinds.
pub(super) const UNCONDITIONAL: Manners =
    Manners { generation: false, unconditional_update: true, create_on_update: false, return_deleted: false };
