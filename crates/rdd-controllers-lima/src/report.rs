//! Telling: the status of a LimaVM is written here and nowhere else.

use rdd_api::condition::{self, Condition};
use rdd_api::limavm::LimaVmStatus;
use rdd_api::limavm::condition::{PENDING, STARTED, STARTING};
use rdd_reconcile::{Client, ClientError, Happening, PostParams, Recorder, Resource, ResourceExt, Severity};

use crate::kinds::{LimaVm, limavm_resource, limavms};
use crate::plan::Report;

/// Writes the status of a LimaVM that was read, and an event for each condition that changed. A
/// LimaVM that was changed meanwhile is a conflict: it has to be looked at again.
pub async fn write(client: &Client, recorder: &Recorder, vm: &LimaVm, report: &Report) -> Result<(), ClientError> {
    let mut told = vm.clone();
    let before = told.status.replace(report.status.clone()).unwrap_or_default();
    let api = limavms(client, &vm.namespace().unwrap_or_default());
    api.replace_status(&vm.name_any(), &PostParams::default(), &told).await?;
    let about = vm.object_ref(&limavm_resource());
    for changed in worth_an_event(&before, &report.status) {
        tracing::info!(
            limavm = %vm.name_any(), condition = changed.kind, status = changed.status, reason = changed.reason,
            message = changed.message, "condition changed"
        );
        recorder.publish(&about, &Happening::condition_changed(&changed.kind, &changed.message)).await;
    }
    Ok(())
}

/// Tells people something that is no condition.
pub async fn warn(recorder: &Recorder, vm: &LimaVm, reason: &str, note: &str) {
    let happening = Happening {
        severity: Severity::Warning,
        reason: reason.to_owned(),
        action: "Reconcile".to_owned(),
        note: note.to_owned(),
    };
    recorder.publish(&vm.object_ref(&limavm_resource()), &happening).await;
}

/// Returns the conditions whose change deserves an event: all but mere progress.
fn worth_an_event<'a>(before: &'a LimaVmStatus, after: &'a LimaVmStatus) -> impl Iterator<Item = &'a Condition> {
    after.conditions.iter().filter(|new| match condition::find(&before.conditions, &new.kind) {
        None => true,
        Some(old) if old.status != new.status || old.reason != new.reason => true,
        Some(old) => old.message != new.message && ![PENDING, STARTING, STARTED].contains(&new.reason.as_str()),
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rdd_api::limavm::condition::{RUNNING, START_FAILED};

    use super::*;

    #[test]
    fn progress_makes_no_events() {
        let status = |reason: &str, message: &str| {
            let mut status = LimaVmStatus::default();
            condition::set(&mut status.conditions, RUNNING, "False", reason, message, Timestamp::UNIX_EPOCH);
            status
        };
        let count = |a: &LimaVmStatus, b: &LimaVmStatus| worth_an_event(a, b).count();
        let starting = status(STARTING, "Lima instance is starting");
        assert_eq!(count(&LimaVmStatus::default(), &starting), 1);
        assert_eq!(count(&starting, &status(STARTING, "Lima instance is starting: ssh")), 0);
        assert_eq!(count(&starting, &status(START_FAILED, "no")), 1);
        assert_eq!(count(&status(START_FAILED, "no"), &status(START_FAILED, "still no")), 1);
    }
}
