//! The kinds of questions about oneself, and how their protobuf bodies are read.
//!
//! Told by discovery, answered by [`crate::reviews`].

use rdd_schema::protobuf::{Field, Merge, Message, OBJECT_META, Presence, Type};

use crate::request_info::ResourcePath;

/// The version of all of them.
pub(crate) const VERSION: &str = "v1";

/// A kind of question.
#[derive(Debug)]
pub(crate) struct Review {
    pub(crate) group: &'static str,
    pub(crate) resource: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) message: &'static Message,
}

/// All questions, one per group.
pub(crate) static REVIEWS: [Review; 2] = [
    Review {
        group: "authentication.k8s.io",
        resource: "selfsubjectreviews",
        kind: "SelfSubjectReview",
        message: &SELF_SUBJECT_REVIEW,
    },
    Review {
        group: "authorization.k8s.io",
        resource: "selfsubjectaccessreviews",
        kind: "SelfSubjectAccessReview",
        message: &SELF_SUBJECT_ACCESS_REVIEW,
    },
];

/// Returns the question that a URL names.
pub(crate) fn find(path: &ResourcePath) -> Option<&'static Review> {
    REVIEWS.iter().find(|r| r.group == path.group && r.resource == path.resource && path.version == VERSION)
}

// `k8s.io/api/authorization/v1` and `k8s.io/api/authentication/v1`, by their `generated.proto`.

const fn field(number: u32, name: &'static str, kind: Type) -> Field {
    Field { number, name, kind, presence: Presence::NonZero, merge: Merge::Atomic }
}

const fn part(number: u32, name: &'static str, message: &'static Message) -> Field {
    Field { number, name, kind: Type::Message(message), presence: Presence::Pointer, merge: Merge::Atomic }
}

static SELF_SUBJECT_REVIEW: Message =
    Message { name: "SelfSubjectReview", fields: &[part(1, "metadata", &OBJECT_META)] };

static SELF_SUBJECT_ACCESS_REVIEW: Message = Message {
    name: "SelfSubjectAccessReview",
    fields: &[part(1, "metadata", &OBJECT_META), part(2, "spec", &SELF_SUBJECT_ACCESS_REVIEW_SPEC)],
};

static SELF_SUBJECT_ACCESS_REVIEW_SPEC: Message = Message {
    name: "SelfSubjectAccessReviewSpec",
    fields: &[
        part(1, "resourceAttributes", &RESOURCE_ATTRIBUTES),
        part(2, "nonResourceAttributes", &NON_RESOURCE_ATTRIBUTES),
    ],
};

static RESOURCE_ATTRIBUTES: Message = Message {
    name: "ResourceAttributes",
    fields: &[
        field(1, "namespace", Type::String),
        field(2, "verb", Type::String),
        field(3, "group", Type::String),
        field(4, "version", Type::String),
        field(5, "resource", Type::String),
        field(6, "subresource", Type::String),
        field(7, "name", Type::String),
    ],
};

static NON_RESOURCE_ATTRIBUTES: Message = Message {
    name: "NonResourceAttributes",
    fields: &[field(1, "path", Type::String), field(2, "verb", Type::String)],
};
