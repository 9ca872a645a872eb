//! Every row of VM engine specification §1.6–1.10 and 1.13.

use std::time::Duration;

use rdd_api::limavm::condition::{
    CREATE_FAILED, CREATED, PENDING, RECONCILING, RUNNING, START_FAILED, STARTED, STARTING, STOP_FAILED, STOPPED,
};

use super::*;
use crate::observe::DiskFacts;

const TEXT: &str = "images: []\n";
const STARTING_TEXT: &str = "Lima instance is starting";

fn grace() -> GracePeriods {
    GracePeriods { stop: Duration::from_secs(30), delete: Duration::from_secs(10) }
}

fn off() -> Wanted {
    Wanted::Off { grace: grace().stop }
}

fn removed() -> Wanted {
    Wanted::Removed { grace: grace().delete }
}

/// A LimaVM that exists, off, its machine complete, nothing to do.
struct Given(Snapshot);

fn settled() -> Given {
    let mut status = LimaVmStatus {
        template_config_map: "vm-template".to_owned(),
        observed_template_resource_version: "7".to_owned(),
        ..LimaVmStatus::default()
    };
    set(&mut status, CREATED, "True", CREATED, "Lima instance created successfully", Timestamp::UNIX_EPOCH);
    set(&mut status, RUNNING, "False", STOPPED, "Lima instance is stopped", Timestamp::UNIX_EPOCH);
    let copy = CopyFacts { version: "7".to_owned(), owned: true, ours: true, text: TEXT.to_owned(), problem: None };
    let disk = DiskFacts { alive: false, preparing: false, template: Some(TEXT.to_owned()) };
    let machine = MachineFacts {
        wanted: off(),
        phase: Phase::Stopped { by: None, detail: None },
        ending: false,
        disk: Ok(Some(disk)),
    };
    Given(Snapshot {
        now: Timestamp::UNIX_EPOCH,
        vm: Some(VmFacts { finalizer: true, status, ..VmFacts::default() }),
        copy: Some(copy),
        machine: Ok(machine),
        told_run: None,
        template_name: "vm-template".to_owned(),
        taken_by: None,
        unwritten: None,
        gone_for_good: false,
    })
}

/// The same, wanted on and running as run 1, and told so.
fn up() -> Given {
    settled()
        .vm(|v| v.running = true)
        .machine(|m| {
            m.wanted = Wanted::On;
            m.phase = running(1);
            on_disk(m).alive = true;
        })
        .condition(RUNNING, "True", STARTED, "Lima instance is running")
        .status(|s| s.restart_count = 1)
        .told(1)
}

/// A LimaVM that was just stored.
fn fresh() -> Given {
    settled().status(|s| *s = LimaVmStatus::default()).machine(|m| *m = nothing())
}

fn nothing() -> MachineFacts {
    MachineFacts { wanted: Wanted::Nothing, phase: Phase::Unknown, ending: false, disk: Ok(None) }
}

fn on_disk(machine: &mut MachineFacts) -> &mut DiskFacts {
    machine.disk.as_mut().expect("looked at").as_mut().expect("a disk")
}

fn running(run: u64) -> Phase {
    Phase::Running { run, errors: Vec::new() }
}

fn starting_phase() -> Phase {
    Phase::Starting { run: 1, waiting_for: None }
}

impl Given {
    fn vm(mut self, change: impl FnOnce(&mut VmFacts)) -> Self {
        change(self.0.vm.as_mut().expect("a VM"));
        self
    }

    fn status(self, change: impl FnOnce(&mut LimaVmStatus)) -> Self {
        self.vm(|v| change(&mut v.status))
    }

    fn condition(self, kind: &str, status: &str, reason: &str, message: &str) -> Self {
        self.status(|s| set(s, kind, status, reason, message, Timestamp::UNIX_EPOCH))
    }

    fn machine(mut self, change: impl FnOnce(&mut MachineFacts)) -> Self {
        change(self.0.machine.as_mut().expect("a machine"));
        self
    }

    fn copy(mut self, change: impl FnOnce(&mut CopyFacts)) -> Self {
        change(self.0.copy.as_mut().expect("a copy"));
        self
    }

    fn told(mut self, run: u64) -> Self {
        self.0.told_run = Some(run);
        self
    }

    fn seen(mut self, change: impl FnOnce(&mut Snapshot)) -> Self {
        change(&mut self.0);
        self
    }

    #[track_caller]
    fn plans(self, expected: &[Step]) {
        assert_eq!(plan(&self.0, grace()), expected);
    }

    /// Expects one report with this condition, and what else of the status changes.
    #[track_caller]
    fn reports(self, kind: &str, status: &str, reason: &str, message: &str) -> Told {
        let report = self.one_report();
        let condition = condition::find(&report.status.conditions, kind).expect("the condition").clone();
        assert_eq!(
            (condition.status.as_str(), condition.reason.as_str(), condition.message.as_str()),
            (status, reason, message)
        );
        Told(report)
    }

    #[track_caller]
    fn one_report(self) -> Report {
        match plan(&self.0, grace()).as_slice() {
            [Step::Report(report)] => report.clone(),
            other => panic!("not one report: {other:?}"),
        }
    }
}

struct Told(Report);

impl Told {
    #[track_caller]
    fn with(self, holds: impl FnOnce(&LimaVmStatus) -> bool) -> Self {
        assert!(holds(&self.0.status), "{:?}", self.0.status);
        self
    }
}

#[test]
fn a_settled_machine_needs_nothing() {
    settled().plans(&[]);
    up().plans(&[]);
}

#[test]
fn row_1_a_missing_object_leaves_nothing_behind() {
    let gone = |s: &mut Snapshot| {
        s.vm = None;
        s.copy = None;
        s.machine = Err("none".to_owned());
    };
    settled().seen(gone).plans(&[]);
    settled()
        .seen(|s| {
            gone(s);
            s.copy = Some(CopyFacts { ours: true, ..CopyFacts::default() });
        })
        .plans(&[Step::RemoveOrphan]);
    settled()
        .seen(|s| {
            gone(s);
            s.copy = Some(CopyFacts::default());
        })
        .plans(&[]);
    up().seen(|s| {
        s.vm = None;
        s.copy = None;
    })
    .plans(&[Step::Want(off())]);
}

#[test]
fn a_machine_without_limavm_is_turned_off_and_given_up() {
    let gone = |given: Given| {
        given.seen(|s| {
            s.vm = None;
            s.copy = None;
        })
    };
    // The same for one that is being deleted, has lost our finalizer, and stays for another's.
    let let_go = |given: Given| {
        given.vm(|v| {
            v.deleting = true;
            v.finalizer = false;
        })
    };
    let asked = |wanted: Wanted, phase: Phase| {
        up().machine(|m| {
            m.wanted = wanted;
            m.phase = phase;
        })
    };
    let stopped = || Phase::Stopped { by: None, detail: None };
    let protected = || Phase::RemoveFailed { error: "protected".to_owned() };
    for lost in [&gone as &dyn Fn(Given) -> Given, &let_go] {
        lost(up()).plans(&[Step::Want(off())]);
        lost(asked(Wanted::Exists(TEXT.into()), Phase::Creating { progress: None })).plans(&[Step::Want(off())]);
        lost(asked(removed(), protected())).plans(&[Step::Want(off())]);
        lost(asked(off(), Phase::Stopping { waiting_for: None })).plans(&[]);
        lost(asked(off(), Phase::StopFailed { error: "stuck".to_owned() })).plans(&[]);
        lost(asked(off(), stopped())).plans(&[Step::GiveUp]);
        lost(asked(removed(), Phase::Absent)).plans(&[Step::GiveUp]);
        lost(asked(Wanted::Nothing, Phase::Unknown)).plans(&[Step::GiveUp]);
        lost(settled()).seen(|s| s.taken_by = Some("other".to_owned())).plans(&[]);
    }
}

#[test]
fn row_2_deletion() {
    let deleted = |given: Given| given.vm(|v| v.deleting = true);
    deleted(up()).plans(&[Step::Want(removed())]);
    let asked = |phase: Phase| {
        deleted(up()).machine(|m| {
            m.wanted = removed();
            m.phase = phase;
        })
    };
    asked(running(1)).plans(&[]);
    asked(Phase::Stopping { waiting_for: None }).reports(RUNNING, "True", STARTED, "Lima instance is stopping");
    asked(Phase::Absent).plans(&[Step::LetGo]);
    asked(Phase::RemoveFailed { error: "protected".to_owned() }).reports(CREATED, "True", DELETE_FAILED, "protected");
    deleted(settled()).seen(|s| s.machine = Err("a bad name".to_owned())).plans(&[Step::LetGo]);
    deleted(settled()).seen(|s| s.taken_by = Some("other".to_owned())).plans(&[Step::LetGo]);
}

#[test]
fn row_3_no_condition_yet() {
    fresh().reports(CREATED, "Unknown", PENDING, "Reconciliation in progress");
    fresh().vm(|v| v.finalizer = false).plans(&[Step::AddFinalizer]);
}

fn pending() -> Given {
    fresh().condition(CREATED, "Unknown", PENDING, "Reconciliation in progress")
}

#[test]
fn names_that_cannot_be_are_told() {
    pending().seen(|s| s.machine = Err("too long".to_owned())).reports(CREATED, "False", CREATE_FAILED, "too long");
    let told = pending().seen(|s| s.taken_by = Some("a".to_owned())).one_report();
    assert!(told.status.conditions[0].message.contains("already used in namespace \"a\""));
}

#[test]
fn row_4_the_mark_goes_after_the_world_knows() {
    settled().machine(|m| on_disk(m).preparing = true).plans(&[Step::FinishCreation]);
}

#[test]
fn row_5_a_leftover_is_removed_first() {
    let with_disk = || pending().machine(|m| m.disk = Ok(Some(DiskFacts::default())));
    with_disk().plans(&[Step::Want(removed())]);
    with_disk().machine(|m| m.wanted = removed()).plans(&[]);
    let error = "it is protected".to_owned();
    let told = with_disk()
        .machine(|m| {
            m.wanted = removed();
            m.phase = Phase::RemoveFailed { error };
        })
        .one_report();
    assert!(told.status.conditions[0].message.ends_with("it is protected"));
}

#[test]
fn rows_6_to_8_the_template_becomes_the_vms_own() {
    pending().seen(|s| s.copy = None).reports(
        CREATED,
        "False",
        CREATE_FAILED,
        "template ConfigMap \"vm-template\" not found",
    );
    pending().copy(|c| c.owned = false).plans(&[Step::OwnTemplate]);
    let told = pending().one_report();
    assert_eq!(told.status.template_config_map, "vm-template");
}

fn creating() -> Given {
    pending().status(|s| s.template_config_map = "vm-template".to_owned())
}

fn asked_to_exist() -> Given {
    creating().machine(|m| m.wanted = Wanted::Exists(TEXT.into()))
}

#[test]
fn row_10_what_is_on_disk_is_adopted() {
    let disk = |template: &str| DiskFacts { template: Some(template.to_owned()), ..DiskFacts::default() };
    creating()
        .machine(|m| m.disk = Ok(Some(disk(TEXT))))
        .reports(CREATED, "True", CREATED, "Lima instance exists")
        .with(|s| s.observed_template_resource_version == "7");
    creating()
        .machine(|m| m.disk = Ok(Some(disk("other"))))
        .reports(CREATED, "True", CREATED, "Lima instance exists")
        .with(|s| s.observed_template_resource_version.is_empty());
}

#[test]
fn rows_11_and_12_creation() {
    creating().copy(|c| c.text.clear()).reports(
        CREATED,
        "False",
        CREATE_FAILED,
        "template ConfigMap missing template data",
    );
    creating().plans(&[Step::Want(Wanted::Exists(TEXT.into()))]);
    asked_to_exist().condition(RUNNING, "False", STOPPED, "Lima instance is stopped").plans(&[]);
    asked_to_exist().vm(|v| v.running = true).plans(&[]);
    asked_to_exist().machine(|m| m.phase = Phase::Creating { progress: Some("image: 10 %".to_owned()) }).reports(
        CREATED,
        "Unknown",
        PENDING,
        "Reconciliation in progress: image: 10 %",
    );
    let failed = || asked_to_exist().machine(|m| m.phase = Phase::CreateFailed { error: "no image".to_owned() });
    failed().reports(CREATED, "False", CREATE_FAILED, "no image");
    failed().vm(|v| v.restart_requested = true).plans(&[Step::RemoveRestartRequest, Step::TryAgain]);
    failed()
        .condition(CREATED, "False", CREATE_FAILED, "no image")
        .machine(|m| m.phase = Phase::Creating { progress: None })
        .vm(|v| v.running = true)
        .plans(&[]);
    failed().copy(|c| c.text = "better\n".to_owned()).plans(&[Step::Want(Wanted::Exists("better\n".into()))]);
    let created = || {
        asked_to_exist().machine(|m| {
            m.phase = Phase::Created { template: TEXT.into() };
            m.disk = Ok(Some(DiskFacts { preparing: true, template: Some(TEXT.to_owned()), alive: false }));
        })
    };
    created()
        .reports(CREATED, "True", CREATED, "Lima instance created successfully")
        .with(|s| s.observed_template_resource_version == "7");
    created().copy(|c| c.text = "newer\n".to_owned()).plans(&[Step::Want(Wanted::Exists("newer\n".into()))]);
}

#[test]
fn a_machine_that_is_being_made_and_wanted_off_is_told_stopped() {
    let text = "Reconciliation in progress: image: 10 %";
    let downloading = || {
        asked_to_exist()
            .machine(|m| m.phase = Phase::Creating { progress: Some("image: 10 %".to_owned()) })
            .condition(CREATED, "Unknown", PENDING, text)
    };
    downloading().reports(RUNNING, "False", STOPPED, "Lima instance is stopped");
    downloading().vm(|v| v.running = true).plans(&[]);
    // Whatever is there and runs is not called off.
    let disk = DiskFacts { alive: true, preparing: true, template: Some(TEXT.to_owned()) };
    downloading().machine(|m| m.disk = Ok(Some(disk))).plans(&[]);
}

#[test]
fn a_machine_made_with_running_false_is_told_stopped() {
    let made = || settled().status(|s| s.conditions.retain(|c| c.kind == CREATED));
    made().machine(|m| m.wanted = Wanted::Exists(TEXT.into())).plans(&[Step::Want(off())]);
    made().reports(RUNNING, "False", STOPPED, "Lima instance is stopped");
}

#[test]
fn a_directory_that_vanished_is_made_anew() {
    let gone = |given: Given| given.machine(|m| m.disk = Ok(None));
    for given in [gone(settled()), gone(up()).machine(|m| m.phase = Phase::Waiting { error: "gone".to_owned() })] {
        // One look is not enough.
        let again = given.seen(|_| ());
        assert_eq!(plan(&again.0, grace()), [Step::LookAgain(GONE_FOR_GOOD)]);
        again.seen(|s| s.gone_for_good = true).reports(
            CREATED,
            "Unknown",
            PENDING,
            "instance directory is gone, the instance is created anew",
        );
    }
    gone(up()).plans(&[]);
    // A stop is not in the wait's way.
    gone(up())
        .vm(|v| v.running = false)
        .machine(|m| m.phase = Phase::Waiting { error: "gone".to_owned() })
        .plans(&[Step::Want(off()), Step::LookAgain(GONE_FOR_GOOD)]);
}

#[test]
fn what_cannot_be_looked_at_is_neither_gone_nor_stopped() {
    const PROBLEM: &str = "cannot look at the machine: I/O error";
    let blind = |given: Given| given.machine(|m| m.disk = Err(PROBLEM.to_owned())).seen(|s| s.gone_for_good = true);
    let text = format!("Lima instance exists: {PROBLEM}");
    blind(settled()).reports(CREATED, "True", CREATED, &text);
    blind(up())
        .reports(CREATED, "True", CREATED, &text)
        .with(|s| condition::find(&s.conditions, RUNNING).is_some_and(|c| c.reason == STARTED));
    let told = || blind(up()).condition(CREATED, "True", CREATED, &text);
    told().plans(&[]);
    told().vm(|v| v.running = false).plans(&[Step::Want(off())]);
    told().machine(|m| m.phase = Phase::Waiting { error: "bad".to_owned() }).reports(
        RUNNING,
        "False",
        START_FAILED,
        "bad",
    );
    // It gets better.
    settled().condition(CREATED, "True", CREATED, &text).reports(CREATED, "True", CREATED, "Lima instance exists");
    // A restart that waits is not forgotten.
    let fresh_service = |m: &mut MachineFacts| {
        m.wanted = Wanted::Nothing;
        m.phase = Phase::Unknown;
    };
    told().status(|s| s.restart_needed = true).machine(fresh_service).plans(&[]);
    told()
        .status(|s| s.restart_needed = true)
        .machine(|m| m.phase = Phase::Waiting { error: "bad".to_owned() })
        .reports(RUNNING, "False", START_FAILED, "bad")
        .with(|s| s.restart_needed);
    // Before there is a machine: nothing is removed, nothing is asked for.
    blind(pending()).reports(CREATED, "False", CREATE_FAILED, PROBLEM);
    blind(creating()).reports(CREATED, "False", CREATE_FAILED, PROBLEM);
}

#[test]
fn a_complete_machine_is_adopted_even_if_it_was_asked_for() {
    let disk = DiskFacts { alive: true, preparing: false, template: Some(TEXT.to_owned()) };
    asked_to_exist()
        .machine(|m| {
            m.disk = Ok(Some(disk));
            m.phase = Phase::CreateFailed { error: "it still runs".to_owned() };
        })
        .condition(CREATED, "False", CREATE_FAILED, "it still runs")
        .reports(CREATED, "True", CREATED, "Lima instance exists");
}

fn edited(given: Given) -> Given {
    given.copy(|c| {
        c.version = "9".to_owned();
        c.text = "new\n".to_owned();
    })
}

#[test]
fn section_8_template_changes() {
    let noted = |told: Report| assert_eq!(told.status.observed_template_resource_version, "9");
    // Metadata only.
    noted(up().copy(|c| c.version = "9".to_owned()).one_report());
    // ... while a restart waits: later.
    up().copy(|c| c.version = "9".to_owned()).status(|s| s.restart_needed = true).plans(&[Step::Want(off())]);
    // A stopped machine gets the file, then the version is noted, and nothing boots.
    edited(settled()).plans(&[Step::WriteTemplate("new\n".to_owned())]);
    let written = |m: &mut MachineFacts| on_disk(m).template = Some("new\n".to_owned());
    noted(edited(settled()).machine(written).one_report());
    // A running one needs a restart first; so does one that boots.
    for phase in [running(1), starting_phase()] {
        let told = edited(up()).machine(|m| m.phase = phase).one_report();
        assert!(told.status.restart_needed && told.status.observed_template_resource_version == "7");
    }
    let waiting = || edited(up()).status(|s| s.restart_needed = true);
    waiting().plans(&[Step::WriteTemplate("new\n".to_owned())]);
    waiting().machine(written).plans(&[Step::Want(off())]);
    // A machine that fails to start gets the file at once.
    let failing = |m: &mut MachineFacts| {
        m.phase = Phase::Waiting { error: "bad".to_owned() };
        on_disk(m).alive = false;
    };
    edited(up()).machine(failing).plans(&[Step::WriteTemplate("new\n".to_owned())]);
    // What the engine would refuse stays out, and on and off go on.
    let refused = |given: Given| edited(given).copy(|c| c.problem = Some("no such driver".to_owned()));
    let warning =
        Step::Warn { reason: "TemplateRefused", note: "the changed template is not used: no such driver".to_owned() };
    refused(up()).plans(std::slice::from_ref(&warning));
    refused(up()).vm(|v| v.running = false).plans(&[warning, Step::Want(off())]);
    // Changed just before the service died.
    let told = edited(up())
        .machine(|m| {
            m.wanted = Wanted::Nothing;
            m.phase = Phase::Unknown;
        })
        .one_report();
    assert!(told.status.restart_needed);
}

#[test]
fn a_directory_that_cannot_be_written_is_told_and_not_in_the_way_of_a_stop() {
    let write = || Step::WriteTemplate("new\n".to_owned());
    let not = |given: Given| given.vm(|v| v.running = false);
    let waiting = |given: Given| edited(given).status(|s| s.restart_needed = true);
    not(waiting(up())).plans(&[Step::Want(off()), write()]);
    let marked = |given: Given| given.machine(|m| on_disk(m).preparing = true);
    not(marked(up())).plans(&[Step::Want(off()), Step::FinishCreation]);
    marked(up()).plans(&[Step::FinishCreation]);

    // After a failure it is told, and tried again after everything else.
    const PROBLEM: &str = "write lima.yaml: no space left";
    let text = format!("Lima instance exists: {PROBLEM}");
    let full = |given: Given| given.seen(|s| s.unwritten = Some(PROBLEM.to_owned()));
    match plan(&full(waiting(up())).0, grace()).as_slice() {
        [Step::Report(report), last] => {
            let told = condition::find(&report.status.conditions, CREATED).expect("the condition");
            assert_eq!((told.status.as_str(), told.message.as_str()), ("True", text.as_str()));
            assert_eq!(*last, write());
        }
        other => panic!("not a report and a write: {other:?}"),
    }
    let told = |given: Given| full(given).condition(CREATED, "True", CREATED, &text);
    // No restart for a template that is not there; but what the machine does is told.
    told(waiting(up())).plans(&[write()]);
    let steps = plan(&told(waiting(up())).machine(|m| m.phase = starting_phase()).0, grace());
    assert!(matches!(steps.as_slice(), [Step::Report(_), last] if *last == write()), "{steps:?}");
    not(told(waiting(up()))).plans(&[Step::Want(off()), write()]);
    // No start with the old one either.
    match plan(&told(edited(settled())).vm(|v| v.running = true).0, grace()).as_slice() {
        [Step::Report(report), last] => {
            assert!(is(&VmFacts { status: report.status.clone(), ..VmFacts::default() }, RUNNING, "False", None));
            assert_eq!(*last, write());
        }
        other => panic!("not a report and a write: {other:?}"),
    }
    marked(told(settled())).plans(&[Step::FinishCreation]);
}

#[test]
fn a_damaged_file_is_mended_without_a_restart() {
    let damaged = |given: Given, text: Option<&str>| given.machine(|m| on_disk(m).template = text.map(str::to_owned));
    let mend = Step::WriteTemplate(TEXT.to_owned());
    for text in [None, Some("{{{")] {
        damaged(settled(), text).plans(std::slice::from_ref(&mend));
        damaged(up(), text).plans(std::slice::from_ref(&mend));
        // A disk that cannot be written is not in the way of a stop.
        damaged(up(), text).vm(|v| v.running = false).plans(&[Step::Want(off()), mend.clone()]);
        damaged(settled(), text).copy(|c| c.problem = Some("not on this host".to_owned())).plans(&[]);
    }
}

#[test]
fn section_9_restart() {
    // Two passes for the annotation.
    let asked = |given: Given| given.vm(|v| v.restart_requested = true);
    assert!(asked(up()).one_report().status.restart_needed);
    asked(up()).status(|s| s.restart_needed = true).plans(&[Step::RemoveRestartRequest]);
    // Running: off, told, then on again.
    let waiting = || up().status(|s| s.restart_needed = true);
    waiting().plans(&[Step::Want(off())]);
    waiting().machine(|m| m.wanted = off()).plans(&[]);
    waiting()
        .machine(|m| {
            m.wanted = off();
            m.phase = Phase::Stopping { waiting_for: None };
        })
        .reports(RUNNING, "True", STARTED, "Lima instance is stopping")
        .with(|s| s.restart_needed);
    let by = Some(Rung::Hostagent);
    waiting()
        .machine(|m| {
            m.wanted = off();
            m.phase = Phase::Stopped { by, detail: None };
        })
        .reports(RUNNING, "False", STOPPED, "Stopped for restart")
        .with(|s| !s.restart_needed);
    waiting()
        .machine(|m| {
            m.wanted = off();
            m.phase = Phase::StopFailed { error: "stuck".to_owned() };
        })
        .reports(RUNNING, "False", STOP_FAILED, "stuck")
        .with(|s| s.restart_needed);
    // Starting: after the boot.
    waiting().machine(|m| m.phase = starting_phase()).condition(RUNNING, "False", STARTING, STARTING_TEXT).plans(&[]);
    // Just asked to start, nothing seen yet.
    waiting().machine(|m| m.phase = Phase::Unknown).plans(&[]);
    // Failing to start: the next attempt is the restart.
    let cleared = |told: Report| assert!(!told.status.restart_needed);
    let failing = |m: &mut MachineFacts| m.phase = Phase::Waiting { error: "bad".to_owned() };
    waiting().machine(failing).plans(&[Step::Want(off())]);
    let dead = |m: &mut MachineFacts| on_disk(m).alive = false;
    match plan(&waiting().machine(failing).machine(dead).0, grace()).as_slice() {
        [Step::Report(report), Step::TryAgain] => cleared(report.clone()),
        other => panic!("not a report and another try: {other:?}"),
    }
    // Stopped: nothing to do, and nothing starts by it.
    cleared(settled().status(|s| s.restart_needed = true).one_report());
    // After a restart of the service: what lives is stopped without being taken over.
    let restarted = || {
        waiting()
            .machine(|m| {
                m.wanted = Wanted::Nothing;
                m.phase = Phase::Unknown;
            })
            .condition(RUNNING, "Unknown", RECONCILING, "x")
    };
    restarted().plans(&[Step::Want(off())]);
    restarted().condition(RUNNING, "True", STARTED, "x").plans(&[Step::Want(off())]);
    restarted().vm(|v| v.running = false).plans(&[Step::Want(off())]);
    cleared(restarted().machine(|m| on_disk(m).alive = false).one_report());
}

#[test]
fn section_10_wanted_on() {
    let on = |phase: Phase| up().machine(|m| m.phase = phase);
    // Nobody trusts an old True, nor an old False.
    for given in [up(), settled().vm(|v| v.running = true)] {
        given
            .machine(|m| {
                m.wanted = Wanted::Nothing;
                m.phase = Phase::Unknown;
            })
            .reports(RUNNING, "Unknown", RECONCILING, "Verifying instance state after controller restart");
    }
    settled().vm(|v| v.running = true).reports(
        RUNNING,
        "Unknown",
        RECONCILING,
        "Verifying instance state after controller restart",
    );
    settled().vm(|v| v.running = true).condition(RUNNING, "Unknown", RECONCILING, "x").plans(&[Step::Want(Wanted::On)]);
    // Starting.
    on(starting_phase()).reports(RUNNING, "False", STARTING, STARTING_TEXT);
    on(Phase::Starting { run: 1, waiting_for: Some("ssh".to_owned()) }).reports(
        RUNNING,
        "False",
        STARTING,
        "Lima instance is starting: ssh",
    );
    // Running: counted once, and only after Starting was told.
    let booted = || on(running(2)).condition(RUNNING, "False", STARTING, STARTING_TEXT);
    let told = booted().reports(RUNNING, "True", STARTED, "Lima instance is running").with(|s| s.restart_count == 2);
    assert_eq!(told.0.run, Some(2));
    on(running(2)).condition(RUNNING, "Unknown", RECONCILING, "x").reports(RUNNING, "False", STARTING, STARTING_TEXT);
    // A crash and a boot between two looks: the run differs from the one that was told.
    on(running(2)).reports(RUNNING, "False", STARTING, STARTING_TEXT).with(|s| s.restart_count == 1);
    on(Phase::Running { run: 1, errors: vec!["no agent".to_owned()] })
        .reports(RUNNING, "True", STARTED, "Lima instance is running; degraded: no agent")
        .with(|s| s.restart_count == 1);
    // Failing.
    on(Phase::Waiting { error: "no kvm".to_owned() }).reports(RUNNING, "False", START_FAILED, "no kvm");
    // Not seen yet.
    on(Phase::Stopped { by: None, detail: None }).plans(&[]);
    // Asked for while it stops: after the stop.
    up().machine(|m| {
        m.wanted = off();
        m.phase = Phase::Stopping { waiting_for: None };
    })
    .reports(RUNNING, "True", STARTED, "Lima instance is stopping");
}

#[test]
fn section_10_wanted_off() {
    let not = |given: Given| given.vm(|v| v.running = false);
    not(up()).plans(&[Step::Want(off())]);
    not(up()).machine(|m| m.phase = starting_phase()).plans(&[Step::Want(off())]);
    not(up())
        .machine(|m| {
            m.wanted = Wanted::Nothing;
            m.phase = Phase::Unknown;
        })
        .plans(&[Step::Want(off())]);
    let ended = |phase: Phase| {
        not(up()).machine(|m| {
            m.wanted = off();
            m.phase = phase;
        })
    };
    let stopping = |waiting_for: Option<&str>| Phase::Stopping { waiting_for: waiting_for.map(str::to_owned) };
    ended(stopping(None)).reports(RUNNING, "True", STARTED, "Lima instance is stopping");
    let stage = ended(stopping(Some("the VM is told to quit")));
    stage.reports(RUNNING, "True", STARTED, "Lima instance is stopping: the VM is told to quit");
    ended(stopping(None)).condition(RUNNING, "False", STARTING, STARTING_TEXT).reports(
        RUNNING,
        "False",
        STARTING,
        "Lima instance is stopping",
    );
    ended(stopping(None)).condition(RUNNING, "False", STOP_FAILED, "stuck").plans(&[]);
    ended(Phase::Stopped { by: None, detail: None }).reports(RUNNING, "False", STOPPED, "Lima instance is stopped");
    ended(Phase::Stopped { by: Some(Rung::Hostagent), detail: None }).reports(
        RUNNING,
        "False",
        STOPPED,
        "Lima instance stopped successfully",
    );
    let told =
        ended(Phase::Stopped { by: Some(Rung::Kill), detail: Some("the VM was killed".to_owned()) }).one_report();
    let text = &condition::find(&told.status.conditions, RUNNING).expect("told").message;
    assert!(text.starts_with("Lima instance stopped successfully: ") && text.ends_with("killed"), "{text}");
    ended(Phase::StopFailed { error: "stuck".to_owned() }).reports(RUNNING, "False", STOP_FAILED, "stuck");
}

#[test]
fn the_end_of_the_service_is_told_and_starts_nothing() {
    let ending = |phase: Phase| {
        up().machine(|m| {
            m.ending = true;
            m.phase = phase;
        })
    };
    ending(running(1)).plans(&[]);
    ending(Phase::Stopping { waiting_for: None }).reports(RUNNING, "True", STARTED, "Lima instance is stopping");
    ending(Phase::Stopped { by: Some(Rung::Hostagent), detail: None }).reports(
        RUNNING,
        "False",
        STOPPED,
        "Lima instance stopped successfully",
    );
    settled().vm(|v| v.running = true).machine(|m| m.ending = true).plans(&[]);
}
