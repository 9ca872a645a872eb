//! What to do next. Pure: a snapshot in, steps out (VM engine specification §1.6–1.10, 1.13).
//!
//! Each pass takes one step that others can see and ends; what the step changes leads to the next
//! pass. So the sequences of conditions that the specification promises follow from the rules here,
//! not from the timing of machines:
//!
//! ```text
//!  first boot, start   Unknown/Reconciling → False/Starting → True/Started
//!  restart             True → False/Stopped → Unknown/Reconciling → False/Starting → True
//!  crash               True → False/Starting → True
//! ```

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rdd_api::condition;
use rdd_api::limavm::LimaVmStatus;
use rdd_api::limavm::condition::{
    CREATE_FAILED, CREATED, PENDING, RECONCILING, RUNNING, START_FAILED, STARTED, STARTING, STOP_FAILED, STOPPED,
};
use rdd_engine::{Phase, Rung, Wanted};

use crate::observe::{CopyFacts, MachineFacts, Snapshot, VmFacts};

/// How long guests have to power off by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GracePeriods {
    /// When a LimaVM is stopped or restarted.
    pub stop: Duration,
    /// When it is deleted.
    pub delete: Duration,
}

impl Default for GracePeriods {
    fn default() -> Self {
        Self { stop: Duration::from_secs(30), delete: Duration::from_secs(10) }
    }
}

/// For how long a machine's directory must be away before it is made anew: what somebody moves, or
/// mounts again, is soon back.
pub const GONE_FOR_GOOD: Duration = Duration::from_secs(2);

/// What `Created` says of a machine that was there already.
const EXISTS: &str = "Lima instance exists";

/// The reason of `Created` when the machine of a deleted LimaVM cannot be removed.
pub const DELETE_FAILED: &str = "DeleteFailed";

/// One thing to do. Each may be done twice without harm.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Write the status.
    Report(Report),
    /// Put our finalizer on the LimaVM.
    AddFinalizer,
    /// Make the LimaVM the controller of its template.
    OwnTemplate,
    /// Take the request for a restart off the LimaVM.
    RemoveRestartRequest,
    /// Delete what the LimaVM owns, then let it go.
    LetGo,
    /// Give the machine up: its LimaVM has nothing to say about it any more.
    GiveUp,
    /// Delete the template copy of a LimaVM that does not exist.
    RemoveOrphan,
    /// Tell the engine.
    Want(Wanted),
    /// Let the engine try again at once what failed.
    TryAgain,
    /// Put the template into the machine's directory.
    WriteTemplate(String),
    /// Say on disk that the machine is complete.
    FinishCreation,
    /// Look again after this time.
    LookAgain(Duration),
    /// Tell people, without changing anything.
    Warn {
        /// A CamelCase word.
        reason: &'static str,
        /// A sentence.
        note: String,
    },
}

/// A status to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The whole status.
    pub status: LimaVmStatus,
    /// The run that it calls Running.
    pub run: Option<u64>,
}

/// Makes the plan. An empty plan means: all is as it should be, or somebody else has to move.
pub fn plan(seen: &Snapshot, grace: GracePeriods) -> Vec<Step> {
    let Some(vm) = &seen.vm else { return without_vm(seen, grace) };
    let draft = Draft { status: vm.status.clone(), now: seen.now };
    if vm.deleting {
        return deletion(seen, vm, draft, grace);
    }
    if !vm.finalizer {
        return vec![Step::AddFinalizer];
    }
    if condition::find(&vm.status.conditions, CREATED).is_none() {
        return draft.created("Unknown", PENDING, "Reconciliation in progress");
    }
    let machine = match &seen.machine {
        Ok(machine) => machine,
        Err(problem) => return draft.created("False", CREATE_FAILED, problem),
    };
    if let Some(namespace) = &seen.taken_by {
        let text = "LimaVM names must be unique across all namespaces";
        let text = format!("LimaVM name is already used in namespace {namespace:?}; {text}");
        return draft.created("False", CREATE_FAILED, &text);
    }
    let is_created = is(vm, CREATED, "True", None);
    let is_marked = is_created && machine.on_disk().is_some_and(|d| d.preparing);
    // A machine that shall be off need not wait until its directory can be written.
    if is_marked && vm.running && seen.unwritten.is_none() {
        return vec![Step::FinishCreation];
    }
    if vm.status.template_config_map.is_empty()
        && let Some(steps) = leftover(&draft, machine, grace)
    {
        return steps;
    }
    if let Some(copy) = &seen.copy {
        if !copy.owned {
            return vec![Step::OwnTemplate];
        }
        if vm.status.template_config_map.is_empty() {
            return draft.report(|status| status.template_config_map = seen.template_name.clone());
        }
    }
    if is_created { existing(seen, vm, machine, draft, grace) } else { creation(seen, machine, draft) }
}

/// The LimaVM is gone, or was never stored.
fn without_vm(seen: &Snapshot, grace: GracePeriods) -> Vec<Step> {
    let mut steps = abandoned(seen, grace);
    if seen.copy.as_ref().is_some_and(|c| c.ours) {
        steps.push(Step::RemoveOrphan);
    }
    steps
}

/// Somebody took our finalizer away. Nobody wants this machine any more, but nobody allowed us to remove
/// it either, or no longer: it is turned off if we turned it on, and left to whoever has its name next.
fn abandoned(seen: &Snapshot, grace: GracePeriods) -> Vec<Step> {
    let machine = match &seen.machine {
        Ok(machine) if seen.taken_by.is_none() => machine,
        _ => return Vec::new(),
    };
    match (&machine.wanted, &machine.phase) {
        (Wanted::Nothing, _)
        | (Wanted::Off { .. }, Phase::Stopped { .. })
        | (Wanted::Removed { .. }, Phase::Absent) => vec![Step::GiveUp],
        // It may still run: the name stays taken until it does not.
        (Wanted::Off { .. }, _) => Vec::new(),
        _ => vec![Step::Want(Wanted::Off { grace: grace.stop })],
    }
}

fn deletion(seen: &Snapshot, vm: &VmFacts, draft: Draft, grace: GracePeriods) -> Vec<Step> {
    if !vm.finalizer {
        return abandoned(seen, grace);
    }
    let machine = match &seen.machine {
        Ok(machine) if seen.taken_by.is_none() => machine,
        _ => return vec![Step::LetGo],
    };
    match (&machine.wanted, &machine.phase) {
        (Wanted::Removed { .. }, Phase::Absent) => vec![Step::LetGo],
        (Wanted::Removed { .. }, Phase::RemoveFailed { error }) => draft.created("True", DELETE_FAILED, error),
        (Wanted::Removed { .. }, Phase::Stopping { waiting_for }) => draft.stopping(waiting_for.as_deref()),
        (Wanted::Removed { .. }, _) => Vec::new(),
        _ => vec![Step::Want(Wanted::Removed { grace: grace.delete })],
    }
}

/// What an earlier LimaVM of this name left on disk. Our own machine is made after the template is
/// ours, so what is there before is not ours.
fn leftover(draft: &Draft, machine: &MachineFacts, grace: GracePeriods) -> Option<Vec<Step>> {
    match &machine.disk {
        Ok(None) => return None,
        Ok(Some(_)) => {}
        Err(problem) => return Some(draft.clone().created("False", CREATE_FAILED, problem)),
    }
    Some(match (&machine.wanted, &machine.phase) {
        (Wanted::Removed { .. }, Phase::RemoveFailed { error }) => {
            let text = format!("cannot remove the machine that an earlier LimaVM of this name left: {error}");
            draft.clone().created("False", CREATE_FAILED, &text)
        }
        (Wanted::Removed { .. }, _) => Vec::new(),
        _ => vec![Step::Want(Wanted::Removed { grace: grace.delete })],
    })
}

fn creation(seen: &Snapshot, machine: &MachineFacts, draft: Draft) -> Vec<Step> {
    let Some(copy) = &seen.copy else {
        let text = format!("template ConfigMap {:?} not found", seen.template_name);
        return draft.created("False", CREATE_FAILED, &text);
    };
    if let Err(problem) = &machine.disk {
        return draft.created("False", CREATE_FAILED, problem);
    }
    // Whatever we asked for: the mark goes only after the world knows, so what is complete was complete
    // before, and may even run.
    if let Some(disk) = machine.on_disk().filter(|d| !d.preparing && d.template.is_some()) {
        // If its template differs, that is a change like any other, found in a later pass.
        let same = disk.template.as_deref() == Some(&copy.text);
        return draft.report(|status| {
            if same {
                status.observed_template_resource_version.clone_from(&copy.version);
            }
            set(status, CREATED, "True", CREATED, EXISTS, seen.now);
        });
    }
    if copy.text.is_empty() {
        return draft.created("False", CREATE_FAILED, "template ConfigMap missing template data");
    }
    let wanted = Wanted::Exists(Arc::from(copy.text.as_str()));
    if machine.wanted != wanted {
        return vec![Step::Want(wanted)];
    }
    let steps = match &machine.phase {
        Phase::Created { template } if **template == *copy.text => draft.clone().report(|status| {
            if machine.on_disk().and_then(|d| d.template.as_deref()) == Some(&copy.text) {
                status.observed_template_resource_version.clone_from(&copy.version);
            }
            set(status, CREATED, "True", CREATED, "Lima instance created successfully", seen.now);
        }),
        Phase::CreateFailed { .. } if seen.vm.as_ref().is_some_and(|vm| vm.restart_requested) => {
            vec![Step::RemoveRestartRequest, Step::TryAgain]
        }
        Phase::CreateFailed { error } => draft.clone().created("False", CREATE_FAILED, error),
        // A new attempt after a failure: the failure is shown until there is a better word.
        Phase::Creating { progress } if draft.has(CREATED, "Unknown") => {
            let text = with_detail("Reconciliation in progress", progress.as_deref());
            draft.clone().created("Unknown", PENDING, &text)
        }
        _ => Vec::new(),
    };
    let is_off = !machine.on_disk().is_some_and(|d| d.alive);
    let is_wanted_off = seen.vm.as_ref().is_some_and(|vm| !vm.running);
    if steps.is_empty() && is_wanted_off && is_off {
        // Whoever waits for the stop of a machine that is still being made need not wait for its image.
        return stopped(draft, None, None);
    }
    steps
}

fn existing(seen: &Snapshot, vm: &VmFacts, machine: &MachineFacts, draft: Draft, grace: GracePeriods) -> Vec<Step> {
    let is_up = matches!(machine.phase, Phase::Starting { .. } | Phase::Running { .. } | Phase::Stopping { .. });
    if machine.is_absent() && !is_up && !machine.ending {
        if seen.gone_for_good {
            return draft.created("Unknown", PENDING, "instance directory is gone, the instance is created anew");
        }
        let mut steps = if vm.running { Vec::new() } else { power(vm, machine, seen.told_run, draft, grace) };
        steps.push(Step::LookAgain(GONE_FOR_GOOD));
        return steps;
    }
    let trouble = draft.clone().trouble(machine.disk.as_ref().err().or(seen.unwritten.as_ref()));
    let (mut steps, write) = changing(seen, vm, machine, draft, grace);
    // There is one status: what the machine does comes first, and the next pass sees to this.
    if !steps.iter().any(|step| matches!(step, Step::Report(_))) {
        steps.extend(trouble);
    }
    if machine.on_disk().is_some_and(|d| d.preparing) {
        steps.push(Step::FinishCreation);
    }
    steps.extend(write);
    steps
}

/// Returns the steps, and what is to be written to disk after them: a directory that cannot be written
/// must not be in the way of a stop, nor of telling what the machine does.
fn changing(
    seen: &Snapshot,
    vm: &VmFacts,
    machine: &MachineFacts,
    draft: Draft,
    grace: GracePeriods,
) -> (Vec<Step>, Option<Step>) {
    if vm.restart_requested {
        if !vm.status.restart_needed {
            return (draft.report(|status| status.restart_needed = true), None);
        }
        return (vec![Step::RemoveRestartRequest], None);
    }
    let mut steps = Vec::new();
    let mut write = None;
    if let (Some(copy), Ok(_)) = (&seen.copy, &machine.disk) {
        match template_change(vm, machine, copy, &draft) {
            Change::Wait => {}
            Change::Refused(step) => steps.push(step),
            Change::Mend(step) => write = Some(step),
            Change::Steps(change) => return (change, None),
            Change::Write(step) if !vm.running => write = Some(step),
            Change::Write(step) => match &seen.unwritten {
                // The pass ends with it, so that the next start takes it.
                None => return (vec![step], None),
                // Neither a start nor a restart with what was there before.
                Some(problem) if machine.wanted != Wanted::On => {
                    return (draft.running("False", START_FAILED, problem), Some(step));
                }
                Some(_) => {
                    return (told(machine, seen.told_run, draft), Some(step));
                }
            },
        }
    }
    steps.extend(power(vm, machine, seen.told_run, draft, grace));
    (steps, write)
}

enum Change {
    /// There is none, or it waits for a restart.
    Wait,
    /// A machine that is to run gets it before anything else.
    Write(Step),
    /// The pass ends with these.
    Steps(Vec<Step>),
    /// The template stays out; the pass goes on.
    Refused(Step),
    /// The file was damaged; the pass goes on.
    Mend(Step),
}

/// The template may differ from the one that the machine last started with, or at least its version
/// may (§1.8), or the file of the machine is not what was written there.
fn template_change(vm: &VmFacts, machine: &MachineFacts, copy: &CopyFacts, draft: &Draft) -> Change {
    let observed = || draft.clone().report(|s| s.observed_template_resource_version.clone_from(&copy.version));
    let same = machine.on_disk().and_then(|d| d.template.as_deref()) == Some(&copy.text);
    let waits = vm.status.restart_needed;
    if copy.version == vm.status.observed_template_resource_version {
        // It was on disk before. What was done to the file since is no wish of the API's.
        let is_whole = same || machine.is_absent() || copy.problem.is_some();
        return if is_whole { Change::Wait } else { Change::Mend(Step::WriteTemplate(copy.text.clone())) };
    }
    if same {
        return if waits { Change::Wait } else { Change::Steps(observed()) };
    }
    if let Some(problem) = &copy.problem {
        let note = format!("the changed template is not used: {problem}");
        return Change::Refused(Step::Warn { reason: "TemplateRefused", note });
    }
    let is_up = machine.wanted == Wanted::On && matches!(machine.phase, Phase::Starting { .. } | Phase::Running { .. })
        || machine.on_disk().is_some_and(|d| d.alive) && vm.running;
    if is_up && !waits {
        return Change::Steps(draft.clone().report(|status| status.restart_needed = true));
    }
    // The next pass sees the same text on disk, and notes its version if nothing waits.
    Change::Write(Step::WriteTemplate(copy.text.clone()))
}

/// Brings the machine to on or off (§1.9, §1.10).
fn power(vm: &VmFacts, machine: &MachineFacts, told_run: Option<u64>, draft: Draft, grace: GracePeriods) -> Vec<Step> {
    let off = Wanted::Off { grace: grace.stop };
    let is_on = machine.wanted == Wanted::On;
    let is_off = matches!(machine.wanted, Wanted::Off { .. });
    let is_settled_off = is_off && matches!(machine.phase, Phase::Stopped { .. } | Phase::StopFailed { .. });
    if is_off && !is_settled_off {
        return match &machine.phase {
            Phase::Stopping { waiting_for } => draft.stopping(waiting_for.as_deref()),
            _ => Vec::new(),
        };
    }
    if machine.ending {
        return match &machine.phase {
            Phase::Stopping { waiting_for } => draft.stopping(waiting_for.as_deref()),
            Phase::Stopped { by, detail } => stopped(draft, *by, detail.as_deref()),
            Phase::StopFailed { error } => draft.running("False", STOP_FAILED, error),
            _ => Vec::new(),
        };
    }
    if vm.status.restart_needed
        && let Some(steps) = restart(vm, machine, &draft, grace)
    {
        return steps;
    }
    if !vm.running {
        return match &machine.phase {
            _ if !is_off => vec![Step::Want(off)],
            Phase::Stopped { by, detail } => stopped(draft, *by, detail.as_deref()),
            Phase::StopFailed { error } => draft.running("False", STOP_FAILED, error),
            _ => Vec::new(),
        };
    }
    if !is_on {
        // A True from an earlier life of the service is not to be trusted.
        if !draft.is(RUNNING, "Unknown", RECONCILING) {
            return draft.running("Unknown", RECONCILING, "Verifying instance state after controller restart");
        }
        return vec![Step::Want(Wanted::On)];
    }
    told(machine, told_run, draft)
}

/// Tells how a machine does that is wanted on.
fn told(machine: &MachineFacts, told_run: Option<u64>, draft: Draft) -> Vec<Step> {
    match &machine.phase {
        Phase::Starting { waiting_for, .. } => draft.running("False", STARTING, &starting(waiting_for.as_deref())),
        Phase::Running { run, errors } => {
            let text = match errors.as_slice() {
                [] => "Lima instance is running".to_owned(),
                errors => format!("Lima instance is running; degraded: {}", errors.join("; ")),
            };
            if draft.is(RUNNING, "True", STARTED) && told_run == Some(*run) {
                draft.running("True", STARTED, &text)
            } else if draft.is(RUNNING, "False", STARTING) {
                draft.started(*run, &text)
            } else {
                // It booted quicker than we looked. Whoever watches sees every step all the same.
                draft.running("False", STARTING, &starting(None))
            }
        }
        Phase::Waiting { error } => draft.running("False", START_FAILED, error),
        _ => Vec::new(),
    }
}

/// A restart waits. `None` if on and off go on as without it.
fn restart(vm: &VmFacts, machine: &MachineFacts, draft: &Draft, grace: GracePeriods) -> Option<Vec<Step>> {
    let draft = draft.clone();
    let clear = |status: &mut LimaVmStatus| status.restart_needed = false;
    let lives = machine.on_disk().is_some_and(|d| d.alive);
    match (&machine.wanted, &machine.phase) {
        (Wanted::On, Phase::Running { .. }) => Some(vec![Step::Want(Wanted::Off { grace: grace.stop })]),
        // The VM runs, but no hostagent can be had for it.
        (Wanted::On, Phase::Waiting { .. }) if lives => Some(vec![Step::Want(Wanted::Off { grace: grace.stop })]),
        (Wanted::On, Phase::Waiting { .. }) if machine.disk.is_err() => None,
        // It does not run, so the next attempt takes the new template.
        (Wanted::On, Phase::Waiting { .. }) => Some([draft.report(clear), vec![Step::TryAgain]].concat()),
        // It boots: the restart comes after that.
        (Wanted::On, _) => None,
        (Wanted::Off { .. }, Phase::Stopped { .. }) if vm.running && !draft.has(RUNNING, "False") => {
            Some(draft.report_running("False", STOPPED, "Stopped for restart", clear))
        }
        (Wanted::Off { .. }, Phase::StopFailed { error }) => Some(draft.running("False", STOP_FAILED, error)),
        (Wanted::Off { .. }, _) => Some(draft.report(clear)),
        _ if !vm.running => None,
        _ if machine.disk.is_err() => Some(Vec::new()),
        // After a restart of the service. Who takes over now reads the template that waits, and may wait
        // in vain for a guest that was booted with another; the restart is due anyway.
        _ if lives => Some(vec![Step::Want(Wanted::Off { grace: grace.stop })]),
        _ => Some(draft.report(clear)),
    }
}

fn stopped(draft: Draft, by: Option<Rung>, detail: Option<&str>) -> Vec<Step> {
    if draft.is(RUNNING, "False", STOPPED) {
        return Vec::new();
    }
    let text = match by {
        None => "Lima instance is stopped",
        Some(_) => "Lima instance stopped successfully",
    };
    draft.running("False", STOPPED, &with_detail(text, detail))
}

fn starting(waiting_for: Option<&str>) -> String {
    with_detail("Lima instance is starting", waiting_for)
}

fn with_detail(text: &str, detail: Option<&str>) -> String {
    detail.map_or_else(|| text.to_owned(), |d| format!("{text}: {d}"))
}

fn is(vm: &VmFacts, kind: &str, status: &str, reason: Option<&str>) -> bool {
    condition::find(&vm.status.conditions, kind)
        .is_some_and(|c| c.status == status && reason.is_none_or(|r| c.reason == r))
}

fn set(status: &mut LimaVmStatus, kind: &str, value: &str, reason: &str, message: &str, now: Timestamp) {
    condition::set(&mut status.conditions, kind, value, reason, message, now);
}

/// A status that is being written.
#[derive(Clone, Debug)]
struct Draft {
    status: LimaVmStatus,
    now: Timestamp,
}

impl Draft {
    fn has(&self, kind: &str, status: &str) -> bool {
        condition::find(&self.status.conditions, kind).is_some_and(|c| c.status == status)
    }

    fn is(&self, kind: &str, status: &str, reason: &str) -> bool {
        condition::find(&self.status.conditions, kind).is_some_and(|c| c.status == status && c.reason == reason)
    }

    /// Writes what `change` makes of the status; nothing if that is nothing.
    fn report(self, change: impl FnOnce(&mut LimaVmStatus)) -> Vec<Step> {
        let mut status = self.status.clone();
        change(&mut status);
        if status == self.status { Vec::new() } else { vec![Step::Report(Report { status, run: None })] }
    }

    /// Says in `Created`, which stays true, what is wrong with the machine's directory; or no more.
    fn trouble(self, problem: Option<&String>) -> Vec<Step> {
        let text = with_detail(EXISTS, problem.map(String::as_str));
        let told = condition::find(&self.status.conditions, CREATED).map_or("", |c| &c.message);
        let is_told = told.strip_prefix(EXISTS).is_some_and(|rest| rest.starts_with(": "));
        if problem.is_some() || is_told { self.created("True", CREATED, &text) } else { Vec::new() }
    }

    fn created(self, status: &str, reason: &str, message: &str) -> Vec<Step> {
        let now = self.now;
        self.report(|s| set(s, CREATED, status, reason, message, now))
    }

    fn running(self, status: &str, reason: &str, message: &str) -> Vec<Step> {
        self.report_running(status, reason, message, |_| {})
    }

    fn report_running(
        self,
        status: &str,
        reason: &str,
        message: &str,
        change: impl FnOnce(&mut LimaVmStatus),
    ) -> Vec<Step> {
        let now = self.now;
        self.report(|s| {
            change(s);
            set(s, RUNNING, status, reason, message, now);
        })
    }

    /// Says in the message that it stops, and how far that is. There is no reason for it in the contract
    /// (§1.5), so status and reason stay until it is off. A failure that is told stays, too.
    fn stopping(self, waiting_for: Option<&str>) -> Vec<Step> {
        let told = condition::find(&self.status.conditions, RUNNING).cloned();
        match told {
            Some(told) if [STARTED, STARTING, RECONCILING].contains(&told.reason.as_str()) => {
                let text = with_detail("Lima instance is stopping", waiting_for);
                self.running(&told.status, &told.reason, &text)
            }
            _ => Vec::new(),
        }
    }

    /// One more boot succeeded.
    fn started(self, run: u64, message: &str) -> Vec<Step> {
        let mut status = self.status;
        status.restart_count = status.restart_count.saturating_add(1);
        set(&mut status, RUNNING, "True", STARTED, message, self.now);
        vec![Step::Report(Report { status, run: Some(run) })]
    }
}

#[cfg(test)]
mod tests;
