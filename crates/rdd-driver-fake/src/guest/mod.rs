//! The simulated guest: it boots, answers over SSH, and powers off.

mod shell;
mod sshd;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::scenario::Scenario;

pub(crate) use sshd::serve;

/// A reader that does not know the token waits for any.
const ANY_TOKEN: &str = "-";

/// A guest that runs.
pub(crate) struct Guest {
    scenario: Scenario,
    started: Instant,
    hostname: String,
    token: String,
    power: watch::Sender<Power>,
}

/// Whether it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Power {
    On,
    /// It is off, for this reason.
    Off(String),
}

impl Guest {
    /// Powers a guest on. It reads its boot token from the seed, as a real one does.
    pub(crate) fn boot(scenario: Scenario, name: &str, seed: &Path) -> Arc<Self> {
        let token = boot_token(&std::fs::read(seed).unwrap_or_default());
        let hostname = format!("lima-{}", name.replace(['.', '_'], "-"));
        Arc::new(Self { scenario, started: Instant::now(), hostname, token, power: watch::Sender::new(Power::On) })
    }

    pub(crate) fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Returns why the guest is off, when it is.
    pub(crate) async fn off(&self) -> String {
        let mut power = self.power.subscribe();
        loop {
            if let Power::Off(reason) = &*power.borrow_and_update() {
                return reason.clone();
            }
            // The sender is `self`.
            let _ = power.changed().await;
        }
    }

    /// Switches off.
    pub(crate) fn switch_off(&self, reason: &str) {
        self.power.send_if_modified(|power| {
            let was_on = *power == Power::On;
            if was_on {
                *power = Power::Off(reason.to_owned());
            }
            was_on
        });
    }

    /// The power button. A guest that boots or does not listen misses it.
    pub(crate) async fn press_power_button(&self) {
        if !self.scenario.ignore_power_down && self.started.elapsed() >= self.scenario.boot {
            sleep(self.scenario.power_down).await;
            self.switch_off("guest-shutdown");
        }
    }

    /// `poweroff` in a shell.
    async fn power_off(&self) {
        if !self.scenario.ignore_poweroff {
            sleep(self.scenario.power_down).await;
            self.switch_off("guest-shutdown");
        }
    }

    /// Returns a file's content, as it is at this moment of the boot.
    fn file(&self, path: &str) -> Option<String> {
        let after = |delay: Duration| self.started.elapsed() >= self.scenario.boot + delay;
        let (there, content) = match path {
            "/run/lima-ssh-ready" => (after(self.scenario.ssh_ready), self.token.clone()),
            "/run/lima-boot-done" => (after(self.scenario.boot_done), self.token.clone()),
            "/run/lima-boot-failures" if self.scenario.boot_status == 0 => return Some(String::new()),
            "/run/lima-boot-failures" => {
                (after(self.scenario.boot_done), format!("{} provision.system/00000000", self.scenario.boot_status))
            }
            "/etc/hostname" => (true, self.hostname.clone()),
            _ => (false, String::new()),
        };
        there.then(|| content + "\n")
    }

    /// Waits until a file has this content, or until `limit` is over. Returns whether it has.
    async fn await_file(&self, path: &str, content: &str, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            if self.file(path).is_some_and(|text| content == ANY_TOKEN || text.trim() == content) {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            sleep_until(deadline.min(Instant::now() + Duration::from_millis(5))).await;
        }
    }
}

/// Finds the boot token in a seed image: its files are stored as they are.
fn boot_token(seed: &[u8]) -> String {
    const KEY: &[u8] = b"LIMA_CIDATA_IID=";
    let Some(start) = seed.windows(KEY.len()).position(|window| window == KEY) else { return String::new() };
    let value = &seed[start + KEY.len()..];
    let end = value.iter().position(|byte| *byte == b'\n').unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_found_in_the_seed() {
        assert_eq!(boot_token(b"CD001\0\0LIMA_CIDATA_NAME=x\nLIMA_CIDATA_IID=iid-7\nLIMA_CIDATA_USER=u\n"), "iid-7");
        assert_eq!(boot_token(b""), "");
    }
}
