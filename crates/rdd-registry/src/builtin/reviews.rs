//! The kinds of questions about users: created, answered and forgotten.

use std::sync::Arc;

use rdd_schema::protobuf::{self, Message};

use crate::builtin::draft::{Draft, UNCONDITIONAL};
use crate::column::Column;
use crate::kind::{Kind, Scope};
use crate::strategy::PlainStrategy;

/// Returns them all.
pub(super) fn kinds() -> [Kind; 6] {
    use Scope::{Cluster, Namespaced};
    const AUTHENTICATION: &str = "authentication.k8s.io";
    const AUTHORIZATION: &str = "authorization.k8s.io";
    [
        make(
            (AUTHENTICATION, "selfsubjectreviews", "SelfSubjectReview", Cluster),
            include_str!("schemas/selfsubjectreview.json"),
            &protobuf::SELF_SUBJECT_REVIEW,
        ),
        make(
            (AUTHENTICATION, "tokenreviews", "TokenReview", Cluster),
            include_str!("schemas/tokenreview.json"),
            &protobuf::TOKEN_REVIEW,
        ),
        make(
            (AUTHORIZATION, "localsubjectaccessreviews", "LocalSubjectAccessReview", Namespaced),
            include_str!("schemas/localsubjectaccessreview.json"),
            &protobuf::LOCAL_SUBJECT_ACCESS_REVIEW,
        ),
        make(
            (AUTHORIZATION, "selfsubjectaccessreviews", "SelfSubjectAccessReview", Cluster),
            include_str!("schemas/selfsubjectaccessreview.json"),
            &protobuf::SELF_SUBJECT_ACCESS_REVIEW,
        ),
        make(
            (AUTHORIZATION, "selfsubjectrulesreviews", "SelfSubjectRulesReview", Cluster),
            include_str!("schemas/selfsubjectrulesreview.json"),
            &protobuf::SELF_SUBJECT_RULES_REVIEW,
        ),
        make(
            (AUTHORIZATION, "subjectaccessreviews", "SubjectAccessReview", Cluster),
            include_str!("schemas/subjectaccessreview.json"),
            &protobuf::SUBJECT_ACCESS_REVIEW,
        ),
    ]
}

fn make(
    (group, resource, name, scope): (&'static str, &'static str, &'static str, Scope),
    schema: &'static str,
    message: &'static Message,
) -> Kind {
    let mut kind = Draft {
        group,
        resource,
        singular: "",
        kind: name,
        short_names: &[],
        scope,
        schema,
        columns: vec![Column::name()],
        manners: UNCONDITIONAL,
        strategy: Arc::new(PlainStrategy),
        message,
    }
    .finish();
    kind.singular = name.to_lowercase();
    kind.verbs = vec!["create"];
    kind
}
