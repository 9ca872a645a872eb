//! Waiting for a VM: until it is on, off, restarted or gone.

use std::io::Write as _;

use anyhow::anyhow;
use rdd_api::Condition;
use rdd_api::condition::find;
use rdd_api::limavm::condition::{CREATE_FAILED, CREATED, RUNNING, START_FAILED, STARTED, STOPPED};
use rdd_daemon::{Deadline, DeadlineExceeded};

use super::api::{Seen, Vm, Vms};
use crate::failure::Advised;
use crate::logging::obeys_escapes;

/// Waits until the VM runs. `before` is how it stood before it was asked to.
pub(super) async fn running(vms: &Vms, before: &Vm, vm: &Vm, deadline: Deadline) -> anyhow::Result<()> {
    let reached =
        |vm: &Vm| find(&vm.status.conditions, RUNNING).is_some_and(|c| c.status == "True" && c.reason == STARTED);
    until(vms, before, vm, deadline, "start", reached).await
}

/// Waits until the VM is off. One that could not be created is.
pub(super) async fn stopped(vms: &Vms, before: &Vm, vm: &Vm, deadline: Deadline) -> anyhow::Result<()> {
    let reached = |vm: &Vm| {
        let conditions = &vm.status.conditions;
        match find(conditions, RUNNING) {
            Some(condition) => condition.status == "False" && condition.reason == STOPPED,
            None => find(conditions, CREATED).is_some_and(|c| c.reason == CREATE_FAILED),
        }
    };
    until(vms, before, vm, deadline, "stop", reached).await
}

/// Waits until the VM started once more than before.
pub(super) async fn restarted(vms: &Vms, before: &Vm, vm: &Vm, deadline: Deadline) -> anyhow::Result<()> {
    let count = before.status.restart_count;
    until(vms, before, vm, deadline, "restart", |vm| vm.status.restart_count > count).await
}

/// Waits until the VM is gone, or another of its name is there.
pub(super) async fn gone(vms: &Vms, vm: &Vm, deadline: Deadline) -> anyhow::Result<()> {
    let mut progress = Progress::new();
    let work = vms.follow(vm, |seen: &Seen| match seen {
        Some(now) if now.uid == vm.uid => {
            progress.show(now);
            None
        }
        _ => Some(Ok(())),
    });
    deadline.limit(work).await.map_err(|late| timed_out(vm, "be deleted", late))?
}

/// Waits for a state; a failure that was not there before ends the wait with its message.
async fn until(
    vms: &Vms,
    before: &Vm,
    vm: &Vm,
    deadline: Deadline,
    verb: &str,
    mut reached: impl FnMut(&Vm) -> bool,
) -> anyhow::Result<()> {
    let mut progress = Progress::new();
    let work = vms.follow(vm, |seen: &Seen| {
        let Some(now) = seen.as_ref().filter(|now| now.uid == vm.uid) else {
            return Some(Err(anyhow!("LimaVM {:?} was deleted while waiting", vm.name)));
        };
        if reached(now) {
            return Some(Ok(()));
        }
        progress.show(now);
        let failure = failure(now).filter(|new| failure(before) != Some(*new))?;
        Some(Err(failed(now, failure).into()))
    });
    deadline.limit(work).await.map_err(|late| timed_out(vm, verb, late))?
}

/// A failure of the VM, and what to do about it. The service goes on trying.
fn failed(vm: &Vm, failure: &Condition) -> Advised {
    let name = &vm.name;
    let message = format!("LimaVM {name:?}: {}: {}", failure.reason, failure.message);
    let hint = match failure.reason.as_str() {
        CREATE_FAILED => format!(
            "put right what is missing, or correct the template with 'rdd limavm edit {name}', then run 'rdd limavm start {name}'"
        ),
        START_FAILED => format!(
            "put right what is missing, or correct the template with 'rdd limavm edit {name}', then run 'rdd limavm start {name}'; its log is shown by 'rdd limavm log {name}'"
        ),
        _ => format!("its log is shown by 'rdd limavm log {name}'"),
    };
    Advised::new(message, hint)
}

fn timed_out(vm: &Vm, verb: &str, late: DeadlineExceeded) -> anyhow::Error {
    let name = &vm.name;
    let hint = format!("see what it does with 'rdd limavm log -f {name}', or wait longer with --timeout");
    Advised::new(format!("timed out waiting for LimaVM {name:?} to {verb}"), hint).because(late).into()
}

/// Returns whether the service waits to try again what failed.
pub(super) fn is_waiting_after_failure(vm: &Vm) -> bool {
    failure(vm).is_some_and(|c| [CREATE_FAILED, START_FAILED].contains(&c.reason.as_str()))
}

/// Returns the condition that tells of a failure, if one does.
fn failure(vm: &Vm) -> Option<&Condition> {
    let conditions = &vm.status.conditions;
    let failed = |kind| find(conditions, kind).filter(|c| c.status == "False" && c.reason.ends_with("Failed"));
    failed(CREATED).or_else(|| failed(RUNNING))
}

/// What happens meanwhile, on a terminal that can write over a line.
struct Progress {
    is_shown: bool,
    last: String,
}

impl Progress {
    fn new() -> Self {
        Progress { is_shown: obeys_escapes(), last: String::new() }
    }

    fn show(&mut self, vm: &Vm) {
        let conditions = &vm.status.conditions;
        let Some(condition) = find(conditions, RUNNING).or_else(|| find(conditions, CREATED)) else { return };
        if self.is_shown && condition.message != self.last {
            self.last.clone_from(&condition.message);
            let line = condition.message.lines().next().unwrap_or_default();
            // Progress that cannot be written is no failure of the work.
            let _ = write!(std::io::stderr(), "\r\x1b[K{}: {line}", vm.name);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if !self.last.is_empty() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
