//! `authentication.k8s.io/v1` TokenRequest: what is sent to the subresource `token` of ServiceAccounts. It is stored
//! nowhere, and has no place in the list of kinds.

use std::sync::{Arc, LazyLock};

use rdd_schema::protobuf;

use crate::builtin::draft::{Draft, UNCONDITIONAL};
use crate::column::Column;
use crate::kind::{Kind, Scope};
use crate::strategy::PlainStrategy;

/// Returns the kind of the objects that requests for a ServiceAccount's token carry.
pub fn token_request() -> &'static Arc<Kind> {
    static TOKEN_REQUEST: LazyLock<Arc<Kind>> = LazyLock::new(|| Arc::new(make()));
    &TOKEN_REQUEST
}

fn make() -> Kind {
    let mut kind = Draft {
        group: "authentication.k8s.io",
        resource: "tokenrequests",
        singular: "tokenrequest",
        kind: "TokenRequest",
        short_names: &[],
        scope: Scope::Namespaced,
        schema: include_str!("schemas/tokenrequest.json"),
        columns: vec![Column::name()],
        manners: UNCONDITIONAL,
        strategy: Arc::new(PlainStrategy),
        message: &protobuf::TOKEN_REQUEST,
    }
    .finish();
    kind.verbs = vec!["create"];
    kind
}
