//! `autoscaling/v1` Scale: what is said about the scale subresource of other kinds. It is stored nowhere, and has no
//! place in the list of kinds.

use std::sync::{Arc, LazyLock};

use rdd_api::FieldError;
use rdd_schema::protobuf;
use serde_json::Value;

use crate::builtin::draft::{Draft, UNCONDITIONAL};
use crate::column::Column;
use crate::kind::{Kind, Scope};
use crate::strategy::Strategy;

/// Returns the kind of the objects that requests for a scale subresource carry.
pub fn scale() -> &'static Arc<Kind> {
    static SCALE: LazyLock<Arc<Kind>> = LazyLock::new(|| Arc::new(make()));
    &SCALE
}

fn make() -> Kind {
    Draft {
        group: "autoscaling",
        resource: "scales",
        singular: "scale",
        kind: "Scale",
        short_names: &[],
        // In truth that of the scaled object, whose place it has.
        scope: Scope::Namespaced,
        schema: include_str!("schemas/scale.json"),
        columns: vec![
            Column::name(),
            Column::computed("Desired", "integer", 0, "Number of desired replicas", |o, _| {
                o.pointer("/spec/replicas").cloned().unwrap_or_default()
            }),
            Column::computed("Available", "integer", 0, "Number of actual replicas", |o, _| {
                o.pointer("/status/replicas").cloned().unwrap_or_default()
            }),
            Column::age(),
        ],
        manners: UNCONDITIONAL,
        strategy: Arc::new(ScaleStrategy),
        message: &protobuf::SCALE,
    }
    .finish()
}

struct ScaleStrategy;

impl Strategy for ScaleStrategy {
    fn validate_update(&self, object: &Value, _old: &Value) -> Vec<FieldError> {
        let replicas = object.pointer("/spec/replicas");
        let negative = replicas.filter(|replicas| replicas.as_i64().is_some_and(|n| n < 0));
        let refuse = |n| FieldError::invalid("spec.replicas", n, "must be greater than or equal to 0");
        negative.map(refuse).into_iter().collect()
    }
}
