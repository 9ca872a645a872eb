//! `resourceVersion` and `resourceVersionMatch`: which state of the world a read wants.

use std::time::Duration;

use rdd_api::{FieldError, Status};
use rdd_store::Revision;
use serde_json::json;

use crate::options::{ListOptions, WatchOptions, options_group_kind};
use crate::verbs::Verbs;

/// How long a read waits for a revision that is not there yet.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a list wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The latest state.
    Latest,
    /// Any state; the whole list at once.
    Any,
    /// This revision or a later one.
    NotOlderThan(Revision),
    /// Exactly this revision.
    Exact(Revision),
}

/// Reads a `resourceVersion`; empty means none.
pub(crate) fn parse(text: &str) -> Result<Option<Revision>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(|n| Some(Revision(n))).map_err(|_| {
        let quoted = rdd_api::field::quote(text);
        Status::bad_request(format!(
            "invalid resource version: resourceVersion: Invalid value: {quoted}: strconv.ParseUint: parsing {quoted}: \
             invalid syntax"
        ))
    })
}

fn invalid(error: FieldError) -> Status {
    Status::invalid(&options_group_kind("ListOptions"), "", &[error])
}

fn not_supported(text: &str) -> Status {
    invalid(FieldError::not_supported("resourceVersionMatch", &json!(text), &["Exact", "NotOlderThan"]))
}

fn match_forbidden(detail: &str) -> Status {
    invalid(FieldError::forbidden("resourceVersionMatch", detail))
}

/// Reads the parameters of a list.
pub(crate) fn of_list(options: &ListOptions) -> Result<Wanted, Status> {
    if options.send_initial_events.is_some() {
        return Err(invalid(FieldError::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")));
    }
    let wanted_match = options.resource_version_match.as_str();
    let version = options.resource_version.as_str();
    if !wanted_match.is_empty() {
        if version.is_empty() {
            return Err(match_forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided"));
        }
        if !options.continue_token.is_empty() {
            return Err(match_forbidden("resourceVersionMatch is forbidden when continue is provided"));
        }
        if !["Exact", "NotOlderThan"].contains(&wanted_match) {
            return Err(not_supported(wanted_match));
        }
        if wanted_match == "Exact" && version == "0" {
            return Err(match_forbidden("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""));
        }
    }
    if !options.continue_token.is_empty() && !version.is_empty() && version != "0" {
        return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
    }
    Ok(match (parse(version)?, wanted_match, options.limit) {
        (None, _, _) => Wanted::Latest,
        (Some(Revision(0)), _, _) => Wanted::Any,
        (Some(revision), "Exact", _) => Wanted::Exact(revision),
        // Paging from a revision without saying how meant exactly that one before there was a way to say so.
        (Some(revision), "", limit) if limit > 0 => Wanted::Exact(revision),
        (Some(revision), _, _) => Wanted::NotOlderThan(revision),
    })
}

/// Checks the parameters of a watch.
pub(crate) fn check_watch(options: &WatchOptions) -> Result<(), Status> {
    let wanted_match = options.resource_version_match.as_str();
    match options.send_initial_events {
        Some(_) if wanted_match != "NotOlderThan" => {
            let detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            Err(match_forbidden(detail))
        }
        None if !wanted_match.is_empty() => {
            Err(match_forbidden("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"))
        }
        _ => Ok(()),
    }
}

impl Verbs {
    /// Waits until a revision is there, or answers that it is too far in the future.
    pub(crate) async fn wait_for(&self, revision: Revision) -> Result<(), Status> {
        let waited = self.store().wait_for(revision, PATIENCE).await;
        waited.map_err(|_| Status::revision_too_large(revision.0, self.revision()))
    }

    /// Waits for the `resourceVersion` of a get.
    pub(crate) async fn wait_for_parameter(&self, resource_version: &str) -> Result<(), Status> {
        match parse(resource_version)? {
            Some(revision) => self.wait_for(revision).await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(version: &str, wanted_match: &str, limit: u64, token: &str) -> Result<Wanted, (u16, String)> {
        of_list(&ListOptions {
            resource_version: version.to_owned(),
            resource_version_match: wanted_match.to_owned(),
            limit,
            continue_token: token.to_owned(),
            ..ListOptions::default()
        })
        .map_err(|s| (s.code, s.message))
    }

    #[test]
    fn the_list_matrix() {
        let five = Revision(5);
        assert_eq!(list("", "", 0, ""), Ok(Wanted::Latest));
        assert_eq!(list("", "", 10, ""), Ok(Wanted::Latest));
        assert_eq!(list("0", "", 10, ""), Ok(Wanted::Any));
        assert_eq!(list("0", "NotOlderThan", 0, ""), Ok(Wanted::Any));
        assert_eq!(list("5", "", 0, ""), Ok(Wanted::NotOlderThan(five)));
        assert_eq!(list("5", "", 10, ""), Ok(Wanted::Exact(five)));
        assert_eq!(list("5", "NotOlderThan", 10, ""), Ok(Wanted::NotOlderThan(five)));
        assert_eq!(list("5", "Exact", 0, ""), Ok(Wanted::Exact(five)));
        assert_eq!(list("0", "", 0, "token"), Ok(Wanted::Any));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let code = |version, wanted_match, token| list(version, wanted_match, 0, token).expect_err("refused").0;
        assert_eq!(code("", "Exact", ""), 422);
        assert_eq!(code("0", "Exact", ""), 422);
        assert_eq!(code("5", "Newest", ""), 422);
        assert_eq!(code("5", "Exact", "token"), 422);
        assert_eq!(code("5", "", "token"), 400);
        assert_eq!(code("x", "", ""), 400);
        let (_, message) = list("", "Exact", 0, "").expect_err("refused");
        assert_eq!(
            message,
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden \
             unless resourceVersion is provided"
        );
        let mut watch = WatchOptions { send_initial_events: Some(true), ..WatchOptions::default() };
        assert_eq!(check_watch(&watch).expect_err("refused").code, 422);
        watch.resource_version_match = "NotOlderThan".to_owned();
        check_watch(&watch).expect("fine");
        watch.send_initial_events = None;
        assert_eq!(check_watch(&watch).expect_err("refused").code, 422);
    }
}
