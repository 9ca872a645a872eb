//! The ladder: ask the guest by its power button, ask it over SSH, end the VM with its disks flushed,
//! kill it. All of it fits into one grace period.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdd_machine::driver::{Vm, VmExit};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::orders::Order;
use crate::timing::Timing;

/// How far a stop had to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// The guest powered off when its power button was pressed.
    PowerButton,
    /// The guest powered off when it was told so over SSH.
    Ssh,
    /// The VM was ended, with its disks flushed.
    Quit,
    /// The VM process was killed.
    Kill,
}

impl Rung {
    /// Returns the rung in words.
    pub fn description(self) -> &'static str {
        match self {
            Rung::PowerButton => "the guest powered off",
            Rung::Ssh => "the guest powered off over SSH",
            Rung::Quit => "the guest did not power off in time and the VM was ended",
            Rung::Kill => "the VM did not answer and was killed",
        }
    }
}

/// When each rung is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Steps {
    again: Duration,
    ssh: Instant,
    quit: Instant,
    kill: Instant,
}

impl Steps {
    /// Divides the time between the beginning and the deadline.
    fn new(begin: Instant, deadline: Instant, force: bool, timing: &Timing) -> Self {
        let total = deadline.saturating_duration_since(begin);
        // A third of a short grace period is for the rungs that cannot be refused.
        let forced = timing.force.min(total / 3);
        if force {
            let patience = timing.force.min(total);
            return Self { again: timing.power_down_again, ssh: begin, quit: begin, kill: begin + patience };
        }
        let quit = deadline.checked_sub(forced).unwrap_or(begin).max(begin);
        let asking = quit.saturating_duration_since(begin);
        Self {
            again: timing.power_down_again.min(asking / 4).max(Duration::from_millis(10)),
            ssh: begin + timing.before_ssh.min(asking / 2),
            quit,
            kill: quit + forced * 2 / 3,
        }
    }
}

/// Tells the guest over SSH.
type PowerOff<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Stops the VM by the deadline of the present order, which may come nearer meanwhile.
///
/// `power_off` tells the guest over SSH; it is called at most once, may take its time, and sets `told`
/// when the guest has been told.
pub(crate) async fn stop<'a>(
    vm: &dyn Vm,
    orders: &mut watch::Receiver<Order>,
    timing: &Timing,
    told: &AtomicBool,
    power_off: impl Fn() -> PowerOff<'a>,
) -> (Rung, VmExit) {
    let begin = Instant::now();
    let mut rung = Rung::PowerButton;
    let mut next_press = begin;
    let mut over_ssh: Option<PowerOff<'a>> = None;
    let mut asked_over_ssh = false;
    let mut ended = vm.wait();
    loop {
        let Order::Stop { deadline, force } = *orders.borrow_and_update() else {
            unreachable!("a stop is never taken back");
        };
        let mut steps = Steps::new(begin, deadline, force, timing);
        if force {
            // From now on, not from the beginning of a patient stop.
            steps.kill = steps.kill.max((Instant::now() + timing.force).min(deadline.max(Instant::now())));
        }
        let now = Instant::now();
        if now >= steps.quit && rung < Rung::Quit {
            rung = Rung::Quit;
            over_ssh = None;
            tracing::warn!(force, "ending the VM");
            let left = steps.kill.saturating_duration_since(now).max(Duration::from_millis(100));
            match timeout(left, vm.quit()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "cannot end the VM"),
                Err(_) => tracing::warn!("the VM does not answer"),
            }
            continue;
        }
        if now >= steps.kill && rung == Rung::Quit {
            rung = Rung::Kill;
            tracing::warn!("killing the VM");
            if let Err(error) = vm.kill().await {
                tracing::error!(%error, "cannot kill the VM");
            }
        }
        if rung < Rung::Quit && !asked_over_ssh && now >= steps.ssh {
            tracing::info!("asking the guest over SSH to power off");
            asked_over_ssh = true;
            over_ssh = Some(power_off());
        }
        if rung < Rung::Quit && now >= next_press {
            next_press = now + steps.again;
            // A hypervisor that hangs must not hold up the other ways.
            let patience = steps.quit.saturating_duration_since(now).min(Duration::from_secs(1));
            match timeout(patience, vm.power_down()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "cannot press the power button"),
                Err(_) => tracing::warn!("the VM does not hear its power button"),
            }
        }
        let wake = match rung {
            Rung::PowerButton | Rung::Ssh if asked_over_ssh => next_press.min(steps.quit),
            Rung::PowerButton | Rung::Ssh => next_press.min(steps.ssh).min(steps.quit),
            Rung::Quit => steps.kill,
            // The kernel does it; there is nothing above.
            Rung::Kill => Instant::now() + Duration::from_secs(3600),
        };
        let asks = over_ssh.is_some();
        let asking = async { over_ssh.as_mut().expect("the branch is guarded").await };
        tokio::select! {
            exit = &mut ended => {
                // The guest may be off before it can answer what it was told.
                let over_ssh = rung == Rung::PowerButton && told.load(Ordering::Relaxed);
                return (if over_ssh { Rung::Ssh } else { rung }, exit);
            }
            changed = orders.changed() => changed.expect("the orders outlive the stop"),
            () = sleep_until(wake) => {}
            () = asking, if asks => over_ssh = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_fit_into_the_grace_period() {
        let begin = Instant::now();
        let timing = Timing::default();
        for seconds in [0, 1, 5, 30, 180] {
            let deadline = begin + Duration::from_secs(seconds);
            for force in [false, true] {
                let steps = Steps::new(begin, deadline, force, &timing);
                assert!(begin <= steps.ssh && steps.ssh <= steps.quit, "{seconds} {force}: {steps:?}");
                assert!(steps.quit <= steps.kill && steps.kill <= deadline, "{seconds} {force}: {steps:?}");
            }
        }
        let steps = Steps::new(begin, begin + Duration::from_secs(180), false, &timing);
        assert_eq!(steps.again, Duration::from_secs(3));
        assert_eq!(steps.quit, begin + Duration::from_secs(174));
        assert_eq!(steps.ssh, begin + Duration::from_secs(15));
    }
}
