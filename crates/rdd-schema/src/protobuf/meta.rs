//! `k8s.io/apimachinery/pkg/apis/meta/v1`.

use super::table::Type::{Bool, Int64, Json, Message as Msg, String as Text, Time};
use super::table::{Merge, Message, Type, always, field, list, merged, pointer};

/// `map[string]string`.
pub(super) const TEXT_MAP: Type = Type::Map(&Text);

/// `metav1.ObjectMeta`.
pub static OBJECT_META: Message = Message {
    name: "ObjectMeta",
    fields: &[
        field(1, "name", Text),
        field(2, "generateName", Text),
        field(3, "namespace", Text),
        field(4, "selfLink", Text),
        field(5, "uid", Text),
        field(6, "resourceVersion", Text),
        field(7, "generation", Int64),
        field(8, "creationTimestamp", Time),
        pointer(9, "deletionTimestamp", Time),
        pointer(10, "deletionGracePeriodSeconds", Int64),
        field(11, "labels", TEXT_MAP),
        field(12, "annotations", TEXT_MAP),
        merged(13, "ownerReferences", Msg(&OWNER_REFERENCE), Merge::ByKey("uid")),
        merged(14, "finalizers", Text, Merge::AsSet),
        list(17, "managedFields", Msg(&MANAGED_FIELDS_ENTRY)),
    ],
};

/// `metav1.OwnerReference`.
pub static OWNER_REFERENCE: Message = Message {
    name: "OwnerReference",
    fields: &[
        always(1, "kind", Text),
        always(3, "name", Text),
        always(4, "uid", Text),
        always(5, "apiVersion", Text),
        pointer(6, "controller", Bool),
        pointer(7, "blockOwnerDeletion", Bool),
    ],
};

static MANAGED_FIELDS_ENTRY: Message = Message {
    name: "ManagedFieldsEntry",
    fields: &[
        field(1, "manager", Text),
        field(2, "operation", Text),
        field(3, "apiVersion", Text),
        pointer(4, "time", Time),
        field(6, "fieldsType", Text),
        pointer(7, "fieldsV1", Json),
        field(8, "subresource", Text),
    ],
};

/// `metav1.ListMeta`.
pub static LIST_META: Message = Message {
    name: "ListMeta",
    fields: &[
        field(1, "selfLink", Text),
        field(2, "resourceVersion", Text),
        field(3, "continue", Text),
        pointer(4, "remainingItemCount", Int64),
    ],
};

/// `metav1.DeleteOptions`.
pub static DELETE_OPTIONS: Message = Message {
    name: "DeleteOptions",
    fields: &[
        pointer(1, "gracePeriodSeconds", Int64),
        pointer(2, "preconditions", Msg(&PRECONDITIONS)),
        pointer(3, "orphanDependents", Bool),
        pointer(4, "propagationPolicy", Text),
        list(5, "dryRun", Text),
        pointer(6, "ignoreStoreReadErrorWithClusterBreakingPotential", Bool),
    ],
};

static PRECONDITIONS: Message =
    Message { name: "Preconditions", fields: &[pointer(1, "uid", Text), pointer(2, "resourceVersion", Text)] };

/// `metav1.LabelSelector`.
pub(super) static LABEL_SELECTOR: Message = Message {
    name: "LabelSelector",
    fields: &[field(1, "matchLabels", TEXT_MAP), list(2, "matchExpressions", Msg(&LABEL_SELECTOR_REQUIREMENT))],
};

static LABEL_SELECTOR_REQUIREMENT: Message = Message {
    name: "LabelSelectorRequirement",
    fields: &[always(1, "key", Text), always(2, "operator", Text), list(3, "values", Text)],
};
