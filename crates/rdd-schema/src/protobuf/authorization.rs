//! `k8s.io/api/authorization/v1`: who may do what. What only answers carry is left out.

use super::authentication::EXTRA_VALUE;
use super::meta::OBJECT_META;
use super::table::Type::{Message as Msg, String as Text};
use super::table::{Message, Type, always, field, list, pointer};

const METADATA: Type = Msg(&OBJECT_META);

/// `authorization.k8s.io/v1` `SubjectAccessReview`.
pub static SUBJECT_ACCESS_REVIEW: Message = Message {
    name: "SubjectAccessReview",
    fields: &[always(1, "metadata", METADATA), always(2, "spec", Msg(&SUBJECT_ACCESS_REVIEW_SPEC))],
};

/// `authorization.k8s.io/v1` `LocalSubjectAccessReview`.
pub static LOCAL_SUBJECT_ACCESS_REVIEW: Message = Message {
    name: "LocalSubjectAccessReview",
    fields: &[always(1, "metadata", METADATA), always(2, "spec", Msg(&SUBJECT_ACCESS_REVIEW_SPEC))],
};

static SUBJECT_ACCESS_REVIEW_SPEC: Message = Message {
    name: "SubjectAccessReviewSpec",
    fields: &[
        pointer(1, "resourceAttributes", Msg(&RESOURCE_ATTRIBUTES)),
        pointer(2, "nonResourceAttributes", Msg(&NON_RESOURCE_ATTRIBUTES)),
        field(3, "user", Text),
        list(4, "groups", Text),
        field(5, "extra", Type::Map(&Msg(&EXTRA_VALUE))),
        field(6, "uid", Text),
    ],
};

/// `authorization.k8s.io/v1` `SelfSubjectAccessReview`.
pub static SELF_SUBJECT_ACCESS_REVIEW: Message = Message {
    name: "SelfSubjectAccessReview",
    fields: &[always(1, "metadata", METADATA), always(2, "spec", Msg(&SELF_SUBJECT_ACCESS_REVIEW_SPEC))],
};

static SELF_SUBJECT_ACCESS_REVIEW_SPEC: Message = Message {
    name: "SelfSubjectAccessReviewSpec",
    fields: &[
        pointer(1, "resourceAttributes", Msg(&RESOURCE_ATTRIBUTES)),
        pointer(2, "nonResourceAttributes", Msg(&NON_RESOURCE_ATTRIBUTES)),
    ],
};

/// `authorization.k8s.io/v1` `SelfSubjectRulesReview`.
pub static SELF_SUBJECT_RULES_REVIEW: Message = Message {
    name: "SelfSubjectRulesReview",
    fields: &[always(1, "metadata", METADATA), always(2, "spec", Msg(&SELF_SUBJECT_RULES_REVIEW_SPEC))],
};

static SELF_SUBJECT_RULES_REVIEW_SPEC: Message =
    Message { name: "SelfSubjectRulesReviewSpec", fields: &[field(1, "namespace", Text)] };

static RESOURCE_ATTRIBUTES: Message = Message {
    name: "ResourceAttributes",
    fields: &[
        field(1, "namespace", Text),
        field(2, "verb", Text),
        field(3, "group", Text),
        field(4, "version", Text),
        field(5, "resource", Text),
        field(6, "subresource", Text),
        field(7, "name", Text),
    ],
};

static NON_RESOURCE_ATTRIBUTES: Message =
    Message { name: "NonResourceAttributes", fields: &[field(1, "path", Text), field(2, "verb", Text)] };
