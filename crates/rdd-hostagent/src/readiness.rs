//! Waiting until the guest is ready: a login, the marks of the boot, the template's probes.
//!
//! Few connections, and no polling over them: the guest itself waits for a mark and answers when it
//! is there. Dropping the future stops it all; the VM's end, a stop and a signal do just that.

use std::net::SocketAddr;
use std::time::Duration;

use rdd_link::session::CommandEnd;
use rdd_link::{KeyPair, LinkError, Session, reach};
use rdd_machine::MachineConfig;
use rdd_machine::config::Probe;
use rdd_seed::{BOOT_DONE_MARK, BOOT_FAILURES_FILE, SSH_READY_MARK};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::timing::Timing;

/// The guest's half of waiting: `sh -s await SECONDS TOKEN MARK...`. Prints the boot's failures when
/// all marks have the token (any token for `-`), or the mark that is missing, with status 75.
const AWAIT: &str = r#"shift
read -r now _ </proc/uptime
end=$((${now%%.*} + $1)) token=$2
shift 2
for mark; do
  while :; do
    value=
    { read -r value <"$mark"; } 2>/dev/null
    [ "$value" = "$token" ] && break
    [ "$token" = - ] && [ -n "$value" ] && break
    read -r now _ </proc/uptime
    if [ "${now%%.*}" -ge "$end" ]; then
      echo "$mark"
      exit 75
    fi
    sleep 0.1 2>/dev/null || sleep 1
  done
done
cat FAILURES 2>/dev/null
exit 0
"#;
/// The status that says: not yet.
const NOT_YET: u32 = 75;
/// After a refused login: a guest may not have made its user yet, and its SSH server remembers
/// failures against us.
const REFUSED_PAUSE: Duration = Duration::from_secs(2);
const REFUSED_PAUSE_LIMIT: Duration = Duration::from_secs(10);
const BROKEN_PAUSE: Duration = Duration::from_millis(200);

/// What is waited for.
pub(crate) struct Readiness<'a> {
    pub(crate) config: &'a MachineConfig,
    pub(crate) address: SocketAddr,
    pub(crate) keys: &'a KeyPair,
    /// The token of this boot; `None` if nobody knows it any more.
    pub(crate) token: Option<&'a str>,
    pub(crate) timing: &'a Timing,
    /// Is told what is waited for, in words.
    pub(crate) progress: &'a (dyn Fn(&str) + Sync),
}

impl Readiness<'_> {
    /// Waits until the guest is ready, and returns what is not as it should be, and the login, to be
    /// closed when everybody has been told.
    pub(crate) async fn wait(&self) -> (Vec<String>, Option<Session>) {
        let mut errors = Vec::new();
        (self.progress)("waiting for the guest's SSH server");
        let mut guest = match timeout(self.timing.login, self.log_in()).await {
            Ok(session) => session,
            Err(_) => return (vec![format!("no SSH login within {} s", self.timing.login.as_secs())], None),
        };
        tracing::info!("logged in to the guest");
        // Without probes in between, one question answers everything.
        if !self.config.probes.is_empty() {
            if !self.config.plain {
                (self.progress)("waiting for the login to be set up");
                if let Err(error) = self.wait_for_marks(&mut guest, &[SSH_READY_MARK]).await {
                    errors.push(error);
                }
            }
            for probe in &self.config.probes {
                (self.progress)(&format!("waiting for {}", described(probe)));
                if let Err(error) = self.wait_for_probe(&mut guest, probe).await {
                    errors.push(error);
                }
            }
        }
        (self.progress)("waiting for the boot scripts");
        let marks: &[&str] = if self.config.plain { &[BOOT_DONE_MARK] } else { &[SSH_READY_MARK, BOOT_DONE_MARK] };
        match self.wait_for_marks(&mut guest, marks).await {
            Ok(failures) => errors.extend(failures.lines().filter_map(failure)),
            Err(error) => errors.push(error),
        }
        (errors, Some(guest))
    }

    /// Logs in, however long it takes.
    async fn log_in(&self) -> Session {
        let mut refused_pause = REFUSED_PAUSE;
        loop {
            let stream = reach::banner(self.address, &reach::Patience::default()).await;
            tracing::debug!("the guest's SSH server speaks");
            let login = Session::over(stream, &self.config.user.name, self.keys, self.timing.login_attempt);
            match login.await {
                Ok(session) => return session,
                Err(error @ LinkError::Refused { .. }) => {
                    tracing::debug!(%error, "trying again");
                    sleep(refused_pause).await;
                    refused_pause = (refused_pause * 3 / 2).min(REFUSED_PAUSE_LIMIT);
                }
                Err(error) => {
                    tracing::debug!(%error, "trying again");
                    sleep(BROKEN_PAUSE).await;
                }
            }
        }
    }

    /// Returns what the guest printed when all the marks were there.
    async fn wait_for_marks(&self, guest: &mut Session, marks: &[&str]) -> Result<String, String> {
        let deadline = Instant::now() + self.timing.mark;
        let script = AWAIT.replace("FAILURES", BOOT_FAILURES_FILE);
        let seconds = self.timing.mark_attempt.as_secs_f64().ceil();
        let token = quoted(self.token.unwrap_or("-"));
        let command = format!("sh -s await {seconds} {token} {}", marks.join(" "));
        // The guest answers after its own time; longer means that it hangs.
        let limit = self.timing.mark_attempt + self.timing.login_attempt;
        let mut missing = marks.join(", ");
        loop {
            let late = || format!("boot scripts did not finish within {} s ({missing})", self.timing.mark.as_secs());
            let ran = timeout_at(deadline, guest.run(&command, script.as_bytes(), limit)).await.map_err(|_| late())?;
            match ran {
                Ok(output) if output.success() => return Ok(output.stdout_text()),
                Ok(output) if output.end == CommandEnd::Code(NOT_YET) => missing = output.stdout_text(),
                // The boot scripts may end our session; then the connection is gone as well.
                Ok(output) if output.end == CommandEnd::Unknown => {
                    let again = timeout_at(deadline, self.log_in()).await;
                    *guest = again.map_err(|_| late())?;
                }
                Ok(output) => {
                    let (end, stderr) = (&output.end, output.stderr_text());
                    return Err(format!("cannot ask the guest about its boot: {end:?} {stderr}"));
                }
                Err(error) => {
                    tracing::debug!(%error, "logging in again");
                    let again = timeout_at(deadline, self.log_in()).await;
                    *guest = again.map_err(|_| late())?;
                }
            }
        }
    }

    async fn wait_for_probe(&self, guest: &mut Session, probe: &Probe) -> Result<(), String> {
        let deadline = Instant::now() + self.timing.probe;
        let command = self.command_for(&probe.script);
        let mut last = "it did not answer".to_owned();
        loop {
            let run = guest.run(&command, probe.script.as_bytes(), self.timing.probe_attempt);
            match timeout_at(deadline, run).await {
                Ok(Ok(output)) if output.success() => return Ok(()),
                Ok(Ok(output)) if output.end != CommandEnd::Unknown => {
                    last = format!("{:?} {}", output.end, output.stderr_text());
                }
                Ok(Err(LinkError::TimedOut { .. })) => last = "it took too long".into(),
                Ok(_) => {
                    if let Ok(session) = timeout_at(deadline, self.log_in()).await {
                        *guest = session;
                    }
                }
                Err(_) => {}
            }
            if Instant::now() + self.timing.probe_pause >= deadline {
                let hint = if probe.hint.is_empty() { String::new() } else { format!("; {}", probe.hint) };
                return Err(format!("probe failed: {}: {}{hint}", described(probe), last.trim()));
            }
            sleep(self.timing.probe_pause).await;
        }
    }

    /// The script's interpreter, with the parameters in its environment.
    fn command_for(&self, script: &str) -> String {
        let line = script.lines().next().unwrap_or_default();
        let interpreter = line.strip_prefix("#!").map_or("/bin/sh", str::trim);
        if self.config.param.is_empty() {
            return interpreter.to_owned();
        }
        let mut command = "env".to_owned();
        for (name, value) in &self.config.param {
            command.push_str(&format!(" PARAM_{name}={}", quoted(value)));
        }
        format!("{command} {interpreter}")
    }
}

fn described(probe: &Probe) -> &str {
    if probe.description.is_empty() { "a probe" } else { &probe.description }
}

/// Reads `EXIT-CODE SCRIPT`.
fn failure(line: &str) -> Option<String> {
    let (code, script) = line.trim().split_once(' ')?;
    Some(format!("{script} failed with exit code {code}; see /var/log/cloud-init-output.log in the guest"))
}

/// Quotes a text for a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    fn run_await(arguments: &[&str], failures: &str) -> (Option<i32>, String) {
        let mut child = Command::new("sh")
            .args(["-s", "await"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(AWAIT.replace("FAILURES", failures).as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }

    #[test]
    fn the_guests_half() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let (a, b, failures) = (path("a"), path("b"), path("failures"));
        std::fs::write(&a, "iid-1\n").unwrap();
        assert_eq!(run_await(&["5", "iid-1", &a], &failures), (Some(0), String::new()));
        assert_eq!(run_await(&["5", "-", &a], &failures), (Some(0), String::new()));
        assert_eq!(run_await(&["0", "iid-2", &a], &failures), (Some(75), format!("{a}\n")));
        assert_eq!(run_await(&["0", "iid-1", &a, &b], &failures), (Some(75), format!("{b}\n")));
        std::fs::write(&failures, "1 provision.system/00000000\n").unwrap();
        let late = std::thread::spawn({
            let b = b.clone();
            move || {
                std::thread::sleep(Duration::from_millis(150));
                std::fs::write(b, "iid-1\n").unwrap();
            }
        });
        assert_eq!(run_await(&["5", "iid-1", &a, &b], &failures).1, "1 provision.system/00000000\n");
        late.join().unwrap();
    }

    #[test]
    fn texts() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
        let text = "provision.system/00000001 failed with exit code 3; see /var/log/cloud-init-output.log in the guest";
        assert_eq!(failure("3 provision.system/00000001").as_deref(), Some(text));
        assert_eq!(failure(""), None);
    }
}
