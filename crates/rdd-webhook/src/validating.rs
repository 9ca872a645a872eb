//! The validating phase: all webhooks at once.

use std::sync::Arc;

use futures::future::join_all;
use rdd_admission::{Admit, Attributes};
use rdd_api::Status;
use rdd_registry::Kinds;

use crate::calling;
use crate::client::Caller;
use crate::hook::Hook;
use crate::matching::call_for;

/// Calls those that match, and returns the first refusal or failure in their order.
pub(crate) async fn validate(
    caller: &Caller,
    hooks: &[Arc<Hook>],
    request: &Attributes,
    context: &Admit,
    kinds: &Kinds,
) -> Result<(), Status> {
    let mut calls = Vec::new();
    for hook in hooks {
        calls.extend(call_for(hook, request, kinds, context.reader.as_ref()).await?);
    }
    let verdicts = join_all(calls.iter().map(|call| calling::ask(caller, call, request, kinds, false))).await;
    let mut outcome = Ok(());
    for verdict in verdicts {
        let verdict = verdict.map(Option::unwrap_or_default);
        let said = match verdict {
            Ok(verdict) => {
                verdict.warnings.into_iter().for_each(|warning| context.warn(warning));
                verdict.denied.map_or(Ok(()), Err)
            }
            Err(status) => Err(status),
        };
        outcome = outcome.and(said);
    }
    outcome
}
