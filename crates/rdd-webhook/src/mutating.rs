//! The mutating phase: one webhook after the other, and some of them again.

use std::sync::Arc;

use rdd_admission::{Admit, Attributes};
use rdd_api::Status;
use rdd_merge::json_patch;
use rdd_registry::Kinds;
use serde_json::{Value, json};

use crate::call::Call;
use crate::client::Caller;
use crate::hook::Hook;
use crate::matching::call_for;
use crate::{calling, conversion};

/// Calls those that match, each with the object as those before left it.
pub(crate) async fn admit(
    caller: &Caller,
    hooks: &[Arc<Hook>],
    request: &mut Attributes,
    context: &Admit,
    kinds: &Kinds,
) -> Result<(), Status> {
    let (mut calls, mut before_the_last_change) = (Vec::new(), 0);
    for hook in hooks {
        let Some(call) = call_for(hook, request, kinds, context.reader.as_ref()).await? else { continue };
        if one(caller, &call, request, context, kinds).await? {
            before_the_last_change = calls.len();
        }
        calls.push(call);
    }
    // Who was called before a change may want to see it; once, whatever the others do then.
    for call in calls[..before_the_last_change].iter().filter(|call| call.hook.is_reinvoked) {
        one(caller, call, request, context, kinds).await?;
    }
    Ok(())
}

/// Returns whether the object was changed.
async fn one(
    caller: &Caller,
    call: &Call,
    request: &mut Attributes,
    context: &Admit,
    kinds: &Kinds,
) -> Result<bool, Status> {
    let Some(verdict) = calling::ask(caller, call, request, kinds, true).await? else { return Ok(false) };
    verdict.warnings.iter().for_each(|warning| context.warn(warning.clone()));
    if let Some(denied) = verdict.denied {
        return Err(denied);
    }
    let Some(patch) = verdict.patch.filter(|patch| patch.as_array().is_none_or(|steps| !steps.is_empty())) else {
        return Ok(false);
    };
    let Some(object) = &request.object else {
        let text = format!(
            "admission webhook {:?} attempted to modify the object, which is not supported for this operation",
            call.hook.name
        );
        return Err(Status::internal(text));
    };
    let next = patched(object, &patch, call, request, kinds)?;
    let changed = next != *object;
    request.object = Some(next);
    Ok(changed)
}

/// Applies a patch to the object as the webhook saw it, and returns it at the version of the request.
fn patched(object: &Value, patch: &Value, call: &Call, request: &Attributes, kinds: &Kinds) -> Result<Value, Status> {
    let seen = conversion::to_version(object, request, &call.version, kinds);
    let mut next = json_patch(&seen, patch).map_err(Status::internal)?;
    if !next.is_object() {
        return Err(Status::internal(format!("the patch of admission webhook {:?} leaves no object", call.hook.name)));
    }
    // Of what type an object is, no webhook says.
    for field in ["apiVersion", "kind"] {
        next[field] = json!(object[field]);
    }
    conversion::settle(&mut next, request, &request.resource.version, kinds);
    Ok(next)
}
