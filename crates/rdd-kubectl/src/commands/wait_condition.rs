//! `wait-condition`: waits for a condition that may have been set since a given time only.
//!
//! Not kubectl's: made for scripts that must not be satisfied by what was true before.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use crate::context::Context;
use crate::failure::Failure;
use crate::parse_go_duration;
use crate::session::Call;
use crate::watch::{Change, Watch};

/// Where the control plane says since when it runs.
const STARTUP: &str = "/api/v1/namespaces/rdd-system/configmaps/rdd-controller-manager";

/// Wait for a condition, set since a given time
///
/// An object that is not there is waited for. Prints nothing.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    # Until the VM runs, and not from before the service started\n  kubectl wait-condition limavm/demo Running --since startup\n\n  \
    # Until it stopped for a reason\n  kubectl wait-condition limavm/demo Running=False --reason Stopped --timeout 2m")]
pub(crate) struct WaitConditionArgs {
    /// TYPE[.GROUP]/NAME and CONDITION[=STATUS]
    words: Vec<String>,
    /// The condition's reason
    #[arg(long, value_name = "REASON", default_value = "")]
    reason: String,
    /// Only if the status changed after this time; `startup` is the start of the control plane
    #[arg(long, value_name = "TIME", default_value = "")]
    since: String,
    /// How long to wait; 0 is as long as it takes
    #[arg(long, value_name = "DURATION", default_value = "30s", allow_hyphen_values = true)]
    timeout: String,
}

struct Wanted<'a> {
    condition: &'a str,
    status: &'a str,
    reason: &'a str,
    since: Option<Timestamp>,
}

impl Wanted<'_> {
    fn holds(&self, object: &Value) -> bool {
        let conditions = object["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|c| {
            let changed = c["lastTransitionTime"].as_str().and_then(rdd_api::time::parse_time);
            c["type"] == self.condition
                && c["status"] == self.status
                && (self.reason.is_empty() || c["reason"] == self.reason)
                && self.since.is_none_or(|since| changed.is_some_and(|at| at > since))
        })
    }
}

/// Runs the command.
pub(crate) async fn run(context: &Context, args: &WaitConditionArgs) -> Result<(), Failure> {
    let [target, condition] = args.words.as_slice() else {
        let count = args.words.len();
        return Err(Failure::message(format!(
            "expected TYPE/NAME and CONDITION[=STATUS] arguments, got {count} arguments"
        )));
    };
    let quoted = rdd_api::field::quote(target);
    let Some((kind, name)) = target.split_once('/') else {
        return Err(Failure::message(format!("expected TYPE/NAME, got {quoted}")));
    };
    if kind.is_empty() || name.is_empty() {
        return Err(Failure::message(format!("both TYPE and NAME must be non-empty in {quoted}")));
    }
    let (condition_name, status) = condition.split_once('=').unwrap_or((condition, "True"));
    if condition_name.is_empty() {
        return Err(Failure::message(format!(
            "condition type must not be empty in {}",
            rdd_api::field::quote(condition)
        )));
    }
    let limit = parse_go_duration(&args.timeout).map_err(|error| {
        Failure::message(format!("invalid argument \"{}\" for \"--timeout\" flag: {error}", args.timeout))
    })?;
    let since = match args.since.as_str() {
        "" => None,
        "startup" => {
            let map = context.session().await?.json(&Call::get(STARTUP)).await?;
            map["metadata"]["creationTimestamp"].as_str().and_then(rdd_api::time::parse_time)
        }
        text => Some(rdd_api::time::parse_time(text).ok_or_else(|| {
            Failure::message(format!("invalid --since timestamp {}: expected RFC 3339", rdd_api::field::quote(text)))
        })?),
    };
    let wanted = Wanted { condition: condition_name, status, reason: &args.reason, since };
    let work = until(context, kind, name, &wanted);
    if limit.is_zero() || limit.is_negative {
        return work.await;
    }
    let late = |_| Err(Failure::message("timed out waiting for the condition"));
    tokio::time::timeout(limit.length, work).await.unwrap_or_else(late)
}

async fn until(context: &Context, kind: &str, name: &str, wanted: &Wanted<'_>) -> Result<(), Failure> {
    let resource = context.discovery().await?.resource(kind)?.clone();
    let namespace = context.explicit_namespace().unwrap_or("default");
    let path = resource.path(Some(namespace), None);
    let session = context.session().await?;
    let call = || Call::get(path.clone()).with("fieldSelector", format!("metadata.name={name}"));
    let mut was_there = false;
    loop {
        let list = session.json(&call()).await?;
        match list["items"].as_array().and_then(|items| items.first()) {
            Some(object) if wanted.holds(object) => return Ok(()),
            Some(_) => was_there = true,
            None if was_there => return Err(Failure::message("resource was deleted while waiting")),
            None => {}
        }
        let version = rdd_api::object::resource_version(&list).to_owned();
        let call = call().with("allowWatchBookmarks", "true").with("resourceVersion", version);
        let mut watch = Watch::start(session, call).await?;
        while let Ok(Some((change, object))) = watch.next().await {
            match change {
                Change::Deleted => return Err(Failure::message("resource was deleted while waiting")),
                Change::Bookmark => {}
                Change::Added | Change::Modified if wanted.holds(&object) => return Ok(()),
                Change::Added | Change::Modified => was_there = true,
            }
        }
        // The server ended the watch: look again, but do not storm a server that ends it at once.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn since_is_strict() {
        let at = "2025-01-01T00:00:00Z";
        let object = json!({"status": {"conditions": [
            {"type": "Running", "status": "True", "reason": "Started", "lastTransitionTime": at}]}});
        let check = |status, reason, since: Option<&str>, expect: bool| {
            let since = since.and_then(rdd_api::time::parse_time);
            assert_eq!(Wanted { condition: "Running", status, reason, since }.holds(&object), expect);
        };
        check("True", "", None, true);
        check("False", "", None, false);
        check("True", "Started", None, true);
        check("True", "Other", None, false);
        check("True", "", Some("2024-12-31T23:59:59Z"), true);
        check("True", "", Some(at), false);
    }
}
