//! `k8s.io/api/admissionregistration/v1`.

use super::apiextensions::CLIENT_CONFIG;
use super::meta::{LABEL_SELECTOR, OBJECT_META};
use super::table::Type::{Int32, Message as Msg, String as Text};
use super::table::{Merge, Message, always, field, inline, list, merged, pointer};

/// `MutatingWebhookConfiguration`.
pub static MUTATING_WEBHOOK_CONFIGURATION: Message = Message {
    name: "MutatingWebhookConfiguration",
    fields: &[
        field(1, "metadata", Msg(&OBJECT_META)),
        merged(2, "webhooks", Msg(&MUTATING_WEBHOOK), Merge::ByKey("name")),
    ],
};

/// `ValidatingWebhookConfiguration`.
pub static VALIDATING_WEBHOOK_CONFIGURATION: Message = Message {
    name: "ValidatingWebhookConfiguration",
    fields: &[
        field(1, "metadata", Msg(&OBJECT_META)),
        merged(2, "webhooks", Msg(&VALIDATING_WEBHOOK), Merge::ByKey("name")),
    ],
};

static MUTATING_WEBHOOK: Message = Message {
    name: "MutatingWebhook",
    fields: &[
        always(1, "name", Text),
        always(2, "clientConfig", Msg(&CLIENT_CONFIG)),
        list(3, "rules", Msg(&RULE_WITH_OPERATIONS)),
        pointer(4, "failurePolicy", Text),
        pointer(5, "namespaceSelector", Msg(&LABEL_SELECTOR)),
        pointer(6, "sideEffects", Text),
        pointer(7, "timeoutSeconds", Int32),
        list(8, "admissionReviewVersions", Text),
        pointer(9, "matchPolicy", Text),
        pointer(10, "reinvocationPolicy", Text),
        pointer(11, "objectSelector", Msg(&LABEL_SELECTOR)),
        merged(12, "matchConditions", Msg(&MATCH_CONDITION), Merge::ByKey("name")),
    ],
};

static VALIDATING_WEBHOOK: Message = Message {
    name: "ValidatingWebhook",
    fields: &[
        always(1, "name", Text),
        always(2, "clientConfig", Msg(&CLIENT_CONFIG)),
        list(3, "rules", Msg(&RULE_WITH_OPERATIONS)),
        pointer(4, "failurePolicy", Text),
        pointer(5, "namespaceSelector", Msg(&LABEL_SELECTOR)),
        pointer(6, "sideEffects", Text),
        pointer(7, "timeoutSeconds", Int32),
        list(8, "admissionReviewVersions", Text),
        pointer(9, "matchPolicy", Text),
        pointer(10, "objectSelector", Msg(&LABEL_SELECTOR)),
        merged(11, "matchConditions", Msg(&MATCH_CONDITION), Merge::ByKey("name")),
    ],
};

static RULE_WITH_OPERATIONS: Message =
    Message { name: "RuleWithOperations", fields: &[list(1, "operations", Text), inline(2, &RULE)] };

static RULE: Message = Message {
    name: "Rule",
    fields: &[
        list(1, "apiGroups", Text),
        list(2, "apiVersions", Text),
        list(3, "resources", Text),
        pointer(4, "scope", Text),
    ],
};

static MATCH_CONDITION: Message =
    Message { name: "MatchCondition", fields: &[always(1, "name", Text), always(2, "expression", Text)] };
