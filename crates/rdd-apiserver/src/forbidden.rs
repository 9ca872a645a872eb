//! What a denied request is answered with.

use rdd_api::{GroupResource, Reason, Status};
use rdd_auth::{AccessRequest, UserInfo};

/// Returns the 403 of a request that the authorizer denies, in upstream's words.
pub(crate) fn denied(user: &UserInfo, access: &AccessRequest, reason: &str) -> Status {
    let who = user.name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    match access {
        AccessRequest::Path { verb, path } => Status::new(
            403,
            Reason::FORBIDDEN,
            format!("forbidden: User \"{who}\" cannot {verb} path \"{path}\"{reason}"),
        ),
        AccessRequest::Resource { verb, group, resource, subresource, namespace, name, .. } => {
            let full = if subresource.is_empty() { resource.clone() } else { format!("{resource}/{subresource}") };
            let place = if namespace.is_empty() {
                "at the cluster scope".to_owned()
            } else {
                format!("in the namespace \"{namespace}\"")
            };
            let cause =
                format!("User \"{who}\" cannot {verb} resource \"{full}\" in API group \"{group}\" {place}{reason}");
            Status::forbidden(&GroupResource::new(group.clone(), resource.clone()), name, &cause)
        }
    }
}
