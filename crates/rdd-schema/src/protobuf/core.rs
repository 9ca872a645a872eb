//! `k8s.io/api/core/v1`, `events/v1` and `coordination/v1`: the built-in kinds.

use super::meta::{OBJECT_META, TEXT_MAP};
use super::table::Type::{Bool, Bytes, Int32, Message as Msg, MicroTime, String as Text, Time};
use super::table::{Merge, Message, Type, always, field, list, merged, pointer};

const METADATA: Type = Msg(&OBJECT_META);

/// `v1` `Namespace`.
pub static NAMESPACE: Message = Message {
    name: "Namespace",
    fields: &[
        always(1, "metadata", METADATA),
        always(2, "spec", Msg(&NAMESPACE_SPEC)),
        always(3, "status", Msg(&NAMESPACE_STATUS)),
    ],
};

static NAMESPACE_SPEC: Message = Message { name: "NamespaceSpec", fields: &[list(1, "finalizers", Text)] };

static NAMESPACE_STATUS: Message = Message {
    name: "NamespaceStatus",
    fields: &[field(1, "phase", Text), merged(2, "conditions", Msg(&NAMESPACE_CONDITION), Merge::ByKey("type"))],
};

static NAMESPACE_CONDITION: Message = Message {
    name: "NamespaceCondition",
    fields: &[
        always(1, "type", Text),
        always(2, "status", Text),
        field(4, "lastTransitionTime", Time),
        field(5, "reason", Text),
        field(6, "message", Text),
    ],
};

/// `v1` `ConfigMap`.
pub static CONFIG_MAP: Message = Message {
    name: "ConfigMap",
    fields: &[
        always(1, "metadata", METADATA),
        field(2, "data", TEXT_MAP),
        field(3, "binaryData", Type::Map(&Bytes)),
        pointer(4, "immutable", Bool),
    ],
};

/// `v1` `Secret`.
pub static SECRET: Message = Message {
    name: "Secret",
    fields: &[
        always(1, "metadata", METADATA),
        field(2, "data", Type::Map(&Bytes)),
        field(3, "type", Text),
        field(4, "stringData", TEXT_MAP),
        pointer(5, "immutable", Bool),
    ],
};

/// `v1` `ServiceAccount`.
pub static SERVICE_ACCOUNT: Message = Message {
    name: "ServiceAccount",
    fields: &[
        always(1, "metadata", METADATA),
        merged(2, "secrets", Msg(&OBJECT_REFERENCE), Merge::ByKey("name")),
        list(3, "imagePullSecrets", Msg(&LOCAL_OBJECT_REFERENCE)),
        pointer(4, "automountServiceAccountToken", Bool),
    ],
};

static LOCAL_OBJECT_REFERENCE: Message = Message { name: "LocalObjectReference", fields: &[field(1, "name", Text)] };

static OBJECT_REFERENCE: Message = Message {
    name: "ObjectReference",
    fields: &[
        field(1, "kind", Text),
        field(2, "namespace", Text),
        field(3, "name", Text),
        field(4, "uid", Text),
        field(5, "apiVersion", Text),
        field(6, "resourceVersion", Text),
        field(7, "fieldPath", Text),
    ],
};

static EVENT_SOURCE: Message =
    Message { name: "EventSource", fields: &[field(1, "component", Text), field(2, "host", Text)] };

static EVENT_SERIES: Message =
    Message { name: "EventSeries", fields: &[field(1, "count", Int32), field(2, "lastObservedTime", MicroTime)] };

/// `v1` `Event`.
pub static EVENT: Message = Message {
    name: "Event",
    fields: &[
        always(1, "metadata", METADATA),
        always(2, "involvedObject", Msg(&OBJECT_REFERENCE)),
        field(3, "reason", Text),
        field(4, "message", Text),
        field(5, "source", Msg(&EVENT_SOURCE)),
        field(6, "firstTimestamp", Time),
        field(7, "lastTimestamp", Time),
        field(8, "count", Int32),
        field(9, "type", Text),
        field(10, "eventTime", MicroTime),
        pointer(11, "series", Msg(&EVENT_SERIES)),
        field(12, "action", Text),
        pointer(13, "related", Msg(&OBJECT_REFERENCE)),
        always(14, "reportingComponent", Text),
        always(15, "reportingInstance", Text),
    ],
};

/// `events.k8s.io/v1` `Event`.
pub static EVENTS_EVENT: Message = Message {
    name: "Event",
    fields: &[
        always(1, "metadata", METADATA),
        field(2, "eventTime", MicroTime),
        pointer(3, "series", Msg(&EVENTS_SERIES)),
        field(4, "reportingController", Text),
        field(5, "reportingInstance", Text),
        field(6, "action", Text),
        field(7, "reason", Text),
        field(8, "regarding", Msg(&OBJECT_REFERENCE)),
        pointer(9, "related", Msg(&OBJECT_REFERENCE)),
        field(10, "note", Text),
        field(11, "type", Text),
        field(12, "deprecatedSource", Msg(&EVENT_SOURCE)),
        field(13, "deprecatedFirstTimestamp", Time),
        field(14, "deprecatedLastTimestamp", Time),
        field(15, "deprecatedCount", Int32),
    ],
};

static EVENTS_SERIES: Message =
    Message { name: "EventSeries", fields: &[always(1, "count", Int32), always(2, "lastObservedTime", MicroTime)] };

/// `coordination.k8s.io/v1` `Lease`.
pub static LEASE: Message =
    Message { name: "Lease", fields: &[always(1, "metadata", METADATA), always(2, "spec", Msg(&LEASE_SPEC))] };

static LEASE_SPEC: Message = Message {
    name: "LeaseSpec",
    fields: &[
        pointer(1, "holderIdentity", Text),
        pointer(2, "leaseDurationSeconds", Int32),
        pointer(3, "acquireTime", MicroTime),
        pointer(4, "renewTime", MicroTime),
        pointer(5, "leaseTransitions", Int32),
        pointer(6, "strategy", Text),
        pointer(7, "preferredHolder", Text),
    ],
};
