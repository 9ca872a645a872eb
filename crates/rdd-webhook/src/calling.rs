//! One call, from the request to the verdict.

use rdd_admission::Attributes;
use rdd_api::Status;
use rdd_registry::Kinds;
use serde_json::Value;

use crate::call::Call;
use crate::client::Caller;
use crate::review::Verdict;
use crate::{conversion, review};

/// Returns what a webhook says of the request; `None` if it could not be asked, and that may pass.
pub(crate) async fn ask(
    caller: &Caller,
    call: &Call,
    request: &Attributes,
    kinds: &Kinds,
    mutating: bool,
) -> Result<Option<Verdict>, Status> {
    let hook = &call.hook;
    let seen = |object: &Value| conversion::to_version(object, request, &call.version, kinds);
    let object = request.object.as_ref().map(seen);
    let old_object = request.old_object.as_deref().map(seen);
    let asked = review::request(request, &call.version, object.as_ref(), old_object.as_ref());
    let uid = asked["uid"].as_str().unwrap_or_default();
    let verdict = match caller.post(hook, &review::review(hook, &asked)).await {
        Ok(answer) => review::read(hook, uid, mutating, &answer)
            .map_err(|reason| format!("received invalid webhook response: {reason}")),
        Err(error) => Err(format!("failed to call webhook: {error}")),
    };
    match verdict {
        Ok(verdict) => Ok(Some(verdict)),
        Err(failure) if hook.ignores_failure => {
            tracing::warn!(webhook = hook.name, failure, "a webhook that may fail was not heard");
            Ok(None)
        }
        Err(failure) => Err(Status::internal(format!("failed calling webhook {:?}: {failure}", hook.name))),
    }
}
