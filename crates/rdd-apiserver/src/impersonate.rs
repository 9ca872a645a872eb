//! Impersonation: acting as somebody else, for those who may.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderValue};
use rdd_api::Status;
use rdd_auth::authenticate::{ANONYMOUS, UNAUTHENTICATED, authenticated};
use rdd_auth::{AccessRequest, Authorizer, Decision, UserInfo};

use crate::forbidden;

const EXTRA: &str = "impersonate-extra-";
const AUTHENTICATION: &str = "authentication.k8s.io";
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";
const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";

/// Returns the user that a request acts as: the one that its headers name, if `user` may.
pub(crate) async fn user(headers: &HeaderMap, user: UserInfo, authorizer: &dyn Authorizer) -> Result<UserInfo, Status> {
    let text = |name: &str| headers.get(name).map(read).transpose().map(Option::unwrap_or_default);
    let groups = headers.get_all("impersonate-group").iter().map(read).collect::<Result<Vec<String>, Status>>()?;
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        if let Some(key) = name.as_str().strip_prefix(EXTRA) {
            extra.entry(crate::request_info::percent_decode(key)).or_default().push(read(value)?);
        }
    }
    let (name, uid) = (text("impersonate-user")?, text("impersonate-uid")?);
    if name.is_empty() {
        if groups.is_empty() && uid.is_empty() && extra.is_empty() {
            return Ok(user);
        }
        return Err(Status::internal("requested impersonation of a group, uid or extra without impersonating a user"));
    }
    let account = service_account(&name);
    let mut wanted = vec![match account {
        Some((namespace, name)) => request("", "serviceaccounts", "", namespace, name),
        None => request("", "users", "", "", &name),
    }];
    wanted.extend(groups.iter().map(|group| request("", "groups", "", "", group)));
    wanted.extend((!uid.is_empty()).then(|| request(AUTHENTICATION, "uids", "", "", &uid)));
    for (key, values) in &extra {
        wanted.extend(values.iter().map(|value| request(AUTHENTICATION, "userextras", key, "", value)));
    }
    for request in wanted {
        if let Decision::Deny { reason } = authorizer.authorize(&user, &request).await {
            return Err(forbidden::denied(&user, &request, &reason));
        }
    }
    let groups = match account {
        Some((namespace, _)) if groups.is_empty() => {
            vec![SERVICE_ACCOUNTS.to_owned(), format!("{SERVICE_ACCOUNTS}:{namespace}")]
        }
        _ => groups,
    };
    Ok(complete(UserInfo { name, uid, groups, extra }))
}

/// Reads a header that names somebody. What cannot be read must not count as absent: the request would be made as who
/// sends it.
fn read(value: &HeaderValue) -> Result<String, Status> {
    let text = std::str::from_utf8(value.as_bytes());
    text.map(str::to_owned).map_err(|_| Status::bad_request("an impersonation header is not UTF-8"))
}

/// Adds the group that everybody is in who has, or has not, authenticated.
fn complete(mut user: UserInfo) -> UserInfo {
    let unknown = user.groups.iter().any(|group| group == UNAUTHENTICATED);
    if user.name != ANONYMOUS && !unknown {
        return authenticated(user);
    }
    if !unknown {
        user.groups.push(UNAUTHENTICATED.to_owned());
    }
    user
}

fn service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix(SERVICE_ACCOUNT)?.split_once(':')?;
    (!namespace.is_empty() && !name.is_empty() && !name.contains(':')).then_some((namespace, name))
}

fn request(group: &str, resource: &str, subresource: &str, namespace: &str, name: &str) -> AccessRequest {
    let text = str::to_owned;
    AccessRequest::Resource {
        verb: text("impersonate"),
        group: text(group),
        version: if group.is_empty() { String::new() } else { text("v1") },
        resource: text(resource),
        subresource: text(subresource),
        namespace: text(namespace),
        name: text(name),
    }
}
