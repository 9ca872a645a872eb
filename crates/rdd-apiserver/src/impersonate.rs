//! Impersonation: a user who may acts as another one (`kubectl --as`).

use std::collections::BTreeMap;

use http::HeaderMap;
use rdd_api::{GroupResource, Status};
use rdd_auth::{AccessRequest, Authorizer, Decision, UserInfo};

const EXTRA: &str = "impersonate-extra-";

/// Returns the user that a request acts as: the one that its headers name, if `user` may.
pub(crate) async fn user(headers: &HeaderMap, user: UserInfo, authorizer: &dyn Authorizer) -> Result<UserInfo, Status> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let groups: Vec<String> =
        headers.get_all("impersonate-group").iter().filter_map(|v| v.to_str().ok()).map(str::to_owned).collect();
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        if let (Some(key), Ok(value)) = (name.as_str().strip_prefix(EXTRA), value.to_str()) {
            extra.entry(crate::request_info::percent_decode(key)).or_default().push(value.to_owned());
        }
    }
    let (name, uid) = (text("impersonate-user"), text("impersonate-uid"));
    if name.is_empty() {
        if groups.is_empty() && uid.is_empty() && extra.is_empty() {
            return Ok(user);
        }
        return Err(Status::internal("requested impersonation of a group, uid or extra without impersonating a user"));
    }
    let mut wanted = vec![("users", name.clone())];
    wanted.extend(groups.iter().map(|group| ("groups", group.clone())));
    wanted.extend((!uid.is_empty()).then(|| ("uids", uid.clone())));
    for values in extra.values() {
        wanted.extend(values.iter().map(|value| ("userextras", value.clone())));
    }
    for (resource, name) in wanted {
        let request = AccessRequest::Resource {
            verb: "impersonate".to_owned(),
            group: String::new(),
            version: String::new(),
            resource: resource.to_owned(),
            subresource: String::new(),
            namespace: String::new(),
            name: name.clone(),
        };
        if let Decision::Deny { .. } = authorizer.authorize(&user, &request).await {
            let cause = format!("User \"{}\" cannot impersonate resource \"{resource}\"", user.name);
            return Err(Status::forbidden(&GroupResource::new("", resource), &name, &cause));
        }
    }
    Ok(rdd_auth::authenticate::authenticated(UserInfo { name, uid, groups, extra }))
}
