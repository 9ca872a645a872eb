//! `k8s.io/api/authentication/v1`: tokens and who shows them.

use super::meta::OBJECT_META;
use super::table::Type::{Bool, Int64, Message as Msg, String as Text, Time};
use super::table::{Message, Type, always, field, list, pointer};

const METADATA: Type = Msg(&OBJECT_META);

/// `authentication.k8s.io/v1` `TokenRequest`.
pub static TOKEN_REQUEST: Message = Message {
    name: "TokenRequest",
    fields: &[
        always(1, "metadata", METADATA),
        always(2, "spec", Msg(&TOKEN_REQUEST_SPEC)),
        field(3, "status", Msg(&TOKEN_REQUEST_STATUS)),
    ],
};

static TOKEN_REQUEST_SPEC: Message = Message {
    name: "TokenRequestSpec",
    fields: &[
        list(1, "audiences", Text),
        pointer(3, "boundObjectRef", Msg(&BOUND_OBJECT_REFERENCE)),
        pointer(4, "expirationSeconds", Int64),
    ],
};

static TOKEN_REQUEST_STATUS: Message =
    Message { name: "TokenRequestStatus", fields: &[always(1, "token", Text), always(2, "expirationTimestamp", Time)] };

static BOUND_OBJECT_REFERENCE: Message = Message {
    name: "BoundObjectReference",
    fields: &[field(1, "kind", Text), field(2, "apiVersion", Text), field(3, "name", Text), field(4, "uid", Text)],
};

/// `authentication.k8s.io/v1` `TokenReview`.
pub static TOKEN_REVIEW: Message = Message {
    name: "TokenReview",
    fields: &[
        always(1, "metadata", METADATA),
        always(2, "spec", Msg(&TOKEN_REVIEW_SPEC)),
        field(3, "status", Msg(&TOKEN_REVIEW_STATUS)),
    ],
};

static TOKEN_REVIEW_SPEC: Message =
    Message { name: "TokenReviewSpec", fields: &[field(1, "token", Text), list(2, "audiences", Text)] };

static TOKEN_REVIEW_STATUS: Message = Message {
    name: "TokenReviewStatus",
    fields: &[
        field(1, "authenticated", Bool),
        field(2, "user", Msg(&USER_INFO)),
        field(3, "error", Text),
        list(4, "audiences", Text),
    ],
};

/// `authentication.k8s.io/v1` `SelfSubjectReview`.
pub static SELF_SUBJECT_REVIEW: Message = Message {
    name: "SelfSubjectReview",
    fields: &[always(1, "metadata", METADATA), field(2, "status", Msg(&SELF_SUBJECT_REVIEW_STATUS))],
};

static SELF_SUBJECT_REVIEW_STATUS: Message =
    Message { name: "SelfSubjectReviewStatus", fields: &[field(1, "userInfo", Msg(&USER_INFO))] };

static USER_INFO: Message = Message {
    name: "UserInfo",
    fields: &[
        field(1, "username", Text),
        field(2, "uid", Text),
        list(3, "groups", Text),
        field(4, "extra", Type::Map(&Msg(&EXTRA_VALUE))),
    ],
};

/// A value of `extra`: in JSON the list itself, here a message around it.
pub(super) static EXTRA_VALUE: Message = Message { name: "ExtraValue", fields: &[list(1, "items", Text)] };
