//! `k8s.io/api/rbac/v1`: roles and bindings.

use super::meta::{LABEL_SELECTOR, OBJECT_META};
use super::table::Type::{Message as Msg, String as Text};
use super::table::{Message, Type, always, field, list, pointer};

const METADATA: Type = Msg(&OBJECT_META);

/// `rbac.authorization.k8s.io/v1` `Role`.
pub static ROLE: Message =
    Message { name: "Role", fields: &[always(1, "metadata", METADATA), list(2, "rules", Msg(&POLICY_RULE))] };

/// `rbac.authorization.k8s.io/v1` `RoleBinding`.
pub static ROLE_BINDING: Message = Message {
    name: "RoleBinding",
    fields: &[
        always(1, "metadata", METADATA),
        list(2, "subjects", Msg(&SUBJECT)),
        always(3, "roleRef", Msg(&ROLE_REF)),
    ],
};

/// `rbac.authorization.k8s.io/v1` `ClusterRole`.
pub static CLUSTER_ROLE: Message = Message {
    name: "ClusterRole",
    fields: &[
        always(1, "metadata", METADATA),
        list(2, "rules", Msg(&POLICY_RULE)),
        pointer(3, "aggregationRule", Msg(&AGGREGATION_RULE)),
    ],
};

/// `rbac.authorization.k8s.io/v1` `ClusterRoleBinding`.
pub static CLUSTER_ROLE_BINDING: Message = Message {
    name: "ClusterRoleBinding",
    fields: &[
        always(1, "metadata", METADATA),
        list(2, "subjects", Msg(&SUBJECT)),
        always(3, "roleRef", Msg(&ROLE_REF)),
    ],
};

static POLICY_RULE: Message = Message {
    name: "PolicyRule",
    fields: &[
        list(1, "verbs", Text),
        list(2, "apiGroups", Text),
        list(3, "resources", Text),
        list(4, "resourceNames", Text),
        list(5, "nonResourceURLs", Text),
    ],
};

static SUBJECT: Message = Message {
    name: "Subject",
    fields: &[
        always(1, "kind", Text),
        field(2, "apiGroup", Text),
        always(3, "name", Text),
        field(4, "namespace", Text),
    ],
};

static ROLE_REF: Message = Message {
    name: "RoleRef",
    fields: &[always(1, "apiGroup", Text), always(2, "kind", Text), always(3, "name", Text)],
};

static AGGREGATION_RULE: Message =
    Message { name: "AggregationRule", fields: &[list(1, "clusterRoleSelectors", Msg(&LABEL_SELECTOR))] };
