//! The match conditions of a webhook.

use rdd_admission::Attributes;
use rdd_api::Status;
use rdd_registry::Kinds;
use rdd_schema::Condition;
use serde_json::Value;

use crate::call::Call;
use crate::{conversion, review};

/// Returns whether all conditions hold. One that does not counts more than one of which nobody can tell; then it is for
/// the failure policy to say whether the request is refused or the webhook left out.
pub(crate) fn hold(call: &Call, request: &Attributes, kinds: &Kinds) -> Result<bool, Status> {
    let hook = &call.hook;
    if hook.conditions.is_empty() {
        return Ok(true);
    }
    let seen = |object: &Value| conversion::to_version(object, request, &call.version, kinds);
    let object = request.object.as_ref().map_or(Value::Null, seen);
    let old_object = request.old_object.as_deref().map_or(Value::Null, seen);
    let told = review::request(request, &call.version, None, None);
    let mut failures = Vec::new();
    for expression in &hook.conditions {
        match Condition::compile(expression).and_then(|condition| condition.holds(&object, &old_object, &told)) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(failure) => failures.push(failure),
        }
    }
    if failures.is_empty() {
        return Ok(true);
    }
    if hook.ignores_failure {
        tracing::warn!(webhook = hook.name, failure = failures[0], "a condition of a webhook cannot be evaluated");
        return Ok(false);
    }
    Err(request.forbidden(&failures.join(", ")))
}
