//! The ladder, inside its grace period.

use std::time::{Duration, Instant};

use rdd_host::process::Signal;
use rdd_hostagent::StopRequest;

use crate::harness::Test;
use crate::stand::{Stand, block_on};

pub(crate) const TESTS: &[Test] = &[
    ("the_power_button_is_enough", the_power_button_is_enough),
    ("a_guest_without_power_button_is_told_over_ssh", a_guest_without_power_button_is_told_over_ssh),
    ("a_guest_that_obeys_nobody_is_ended", a_guest_that_obeys_nobody_is_ended),
    ("a_vm_that_does_not_end_is_killed", a_vm_that_does_not_end_is_killed),
    ("a_vm_that_hangs_is_killed", a_vm_that_hangs_is_killed),
    ("a_stop_can_be_made_quicker", a_stop_can_be_made_quicker),
    ("a_second_signal_has_no_patience", a_second_signal_has_no_patience),
    ("a_guest_that_boots_is_asked_again", a_guest_that_boots_is_asked_again),
    ("force_asks_nobody", force_asks_nobody),
];

/// Stops a machine that runs, and checks how far it had to go, within which time.
fn check(param: &[(&str, &str)], request: StopRequest, expect: &str, within: Duration) {
    block_on(async {
        let stand = Stand::new(param);
        let agent = stand.agent();
        agent.runs().await;
        let begin = Instant::now();
        agent.client().stop(&request).await.unwrap();
        let (code, last) = agent.ends().await;
        let took = begin.elapsed();
        assert_eq!(code, Some(0));
        assert_eq!(last.progress.as_deref(), Some(expect));
        assert!(took < within, "{took:?}");
        stand.check_nothing_is_left();
    });
}

fn grace(milliseconds: u64) -> StopRequest {
    StopRequest { grace: Duration::from_millis(milliseconds), force: false }
}

/// What a loaded machine may add to a deadline that is met.
const LOAD: Duration = Duration::from_secs(2);
const OVER_SSH: &str = "the guest powered off over SSH";
const ENDED: &str = "the guest did not power off in time and the VM was ended";
const KILLED: &str = "the VM did not answer and was killed";

fn the_power_button_is_enough() {
    check(&[], grace(20_000), "the guest powered off", LOAD);
}

fn a_guest_without_power_button_is_told_over_ssh() {
    check(&[("fakeIgnorePowerDown", "true")], grace(20_000), OVER_SSH, LOAD);
}

fn a_guest_that_obeys_nobody_is_ended() {
    let param = [("fakeIgnorePowerDown", "true"), ("fakeIgnorePoweroff", "true")];
    check(&param, grace(1500), ENDED, Duration::from_millis(1500) + LOAD);
}

fn a_vm_that_does_not_end_is_killed() {
    let param = [("fakeIgnorePowerDown", "true"), ("fakeIgnorePoweroff", "true"), ("fakeIgnoreQuit", "true")];
    check(&param, grace(1500), KILLED, Duration::from_millis(1500) + LOAD);
}

fn a_vm_that_hangs_is_killed() {
    block_on(async {
        let stand = Stand::new(&[]);
        let agent = stand.agent();
        agent.runs().await;
        stand.vm().unwrap().signal(Signal::Stop).unwrap();
        let begin = Instant::now();
        agent.client().stop(&grace(1500)).await.unwrap();
        let (_, last) = agent.ends().await;
        assert_eq!(last.progress.as_deref(), Some(KILLED));
        assert!(begin.elapsed() < Duration::from_millis(1500) + LOAD, "{:?}", begin.elapsed());
        stand.check_nothing_is_left();
    });
}

fn a_stop_can_be_made_quicker() {
    block_on(async {
        let stand = Stand::new(&[("fakeIgnorePowerDown", "true"), ("fakeIgnorePoweroff", "true")]);
        let agent = stand.agent();
        agent.runs().await;
        agent.client().stop(&grace(600_000)).await.unwrap();
        agent.reports("stopping", |status| status.progress.as_deref() == Some("stopping")).await;
        let begin = Instant::now();
        agent.client().stop(&grace(300)).await.unwrap();
        let (_, last) = agent.ends().await;
        assert_eq!(last.progress.as_deref(), Some(ENDED));
        assert!(begin.elapsed() < LOAD, "{:?}", begin.elapsed());
        stand.check_nothing_is_left();
    });
}

fn a_second_signal_has_no_patience() {
    block_on(async {
        let stand = Stand::new(&[("fakeIgnorePowerDown", "true"), ("fakeIgnorePoweroff", "true")]);
        let agent = stand.agent();
        agent.runs().await;
        agent.signal(Signal::Interrupt);
        agent.reports("stopping", |status| status.progress.as_deref() == Some("stopping")).await;
        let begin = Instant::now();
        agent.signal(Signal::Interrupt);
        let (code, last) = agent.ends().await;
        assert_eq!((code, last.progress.as_deref()), (Some(0), Some(ENDED)));
        assert!(begin.elapsed() < LOAD, "{:?}", begin.elapsed());
        stand.check_nothing_is_left();
    });
}

fn a_guest_that_boots_is_asked_again() {
    block_on(async {
        let stand = Stand::new(&[("fakeBoot", "500ms"), ("fakeIgnorePoweroff", "true")]);
        let agent = stand.agent();
        agent.vm_started().await;
        agent.signal(Signal::Terminate);
        let (code, last) = agent.ends().await;
        // By then it may have been asked over SSH as well; what counts is that it did power off.
        let words = last.progress.unwrap_or_default();
        assert!(code == Some(0) && words.starts_with("the guest powered off"), "{words}");
        assert!(!agent.events().iter().any(|event| event.status.running));
        stand.check_nothing_is_left();
    });
}

fn force_asks_nobody() {
    let request = StopRequest { grace: Duration::from_secs(20), force: true };
    check(&[("fakePowerDown", "30s")], request, ENDED, LOAD);
}
