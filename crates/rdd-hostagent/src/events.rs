//! What the hostagent reports: one JSON line per event on standard output, and the same to whoever
//! reads `GET /v1/events`.

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdd_machine::event::{HostagentEvent, HostagentStatus};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

/// The pause before a status that could not be printed is printed again; it doubles up to the limit.
const AGAIN: Duration = Duration::from_millis(250);
const AGAIN_LIMIT: Duration = Duration::from_secs(4);

/// The hostagent's status, and everybody who is told of it.
pub(crate) struct Events {
    status: watch::Sender<HostagentEvent>,
    output: Mutex<Output>,
    failed: Notify,
}

struct Output {
    writer: Box<dyn Write + Send>,
    /// The last line is missing, or there is only a part of it.
    is_behind: bool,
}

impl Events {
    /// Begins with an empty status, of which nobody is told.
    pub(crate) fn new(output: Box<dyn Write + Send>) -> Self {
        let output = Mutex::new(Output { writer: output, is_behind: false });
        Self { status: watch::Sender::new(event(HostagentStatus::default())), output, failed: Notify::new() }
    }

    /// Changes the status and tells everybody, unless nothing has changed.
    pub(crate) fn update(&self, change: impl FnOnce(&mut HostagentStatus)) {
        let mut status = self.status.borrow().status.clone();
        change(&mut status);
        self.status.send_if_modified(|current| {
            if current.status == status {
                return false;
            }
            *current = event(status);
            // In here, so that lines and statuses have one order.
            self.print(current);
            true
        });
    }

    /// Returns the present status.
    pub(crate) fn status(&self) -> HostagentStatus {
        self.status.borrow().status.clone()
    }

    /// Returns the statuses from now on. A slow reader sees the last of several.
    pub(crate) fn subscribe(&self) -> watch::Receiver<HostagentEvent> {
        self.status.subscribe()
    }

    fn print(&self, event: &HostagentEvent) {
        let mut line = serde_json::to_vec(event).expect("a struct of plain values");
        line.push(b'\n');
        let mut output = self.output();
        if output.is_behind {
            // What there is of the last line must not become the beginning of this one.
            line.insert(0, b'\n');
        }
        // Whole lines, at once: a reader follows the file, and after a power cut finds what was told. That
        // nobody reads is no reason to end.
        let written = output.writer.write_all(&line).and_then(|()| output.writer.flush());
        output.is_behind = written.is_err();
        if let Err(error) = written {
            tracing::warn!(%error, "cannot report an event");
            self.failed.notify_one();
        }
    }

    /// Prints the present status again as long as it could not be printed, as on a disk that is full for
    /// a while. Runs for ever.
    pub(crate) async fn catch_up(&self) {
        loop {
            self.failed.notified().await;
            let mut pause = AGAIN;
            while self.output().is_behind {
                sleep(pause).await;
                pause = (pause * 2).min(AGAIN_LIMIT);
                // Held while it is printed, so that no older line follows a newer one.
                let status = self.status.borrow();
                if self.output().is_behind {
                    self.print(&status);
                }
            }
        }
    }

    fn output(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn event(status: HostagentStatus) -> HostagentEvent {
    HostagentEvent { time: jiff::Timestamp::now().to_string(), status }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Takes a part of each line until there is room.
    #[derive(Clone, Default)]
    struct Full(Shared, Arc<std::sync::atomic::AtomicBool>);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if self.1.load(std::sync::atomic::Ordering::SeqCst) {
                return self.0.write(bytes);
            }
            self.0.write(&bytes[..bytes.len().min(3)])?;
            Err(std::io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_status_that_could_not_be_told_is_told_later() {
        let output = Full::default();
        let events = Arc::new(Events::new(Box::new(output.clone())));
        let task = tokio::spawn({
            let events = events.clone();
            async move { events.catch_up().await }
        });
        events.update(|status| status.ssh_local_port = 60022);
        events.update(|status| status.running = true);
        output.1.store(true, std::sync::atomic::Ordering::SeqCst);
        let told = || {
            let text = String::from_utf8(output.0.0.lock().unwrap().clone()).unwrap();
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect::<Vec<HostagentEvent>>()
        };
        let waited = async {
            while told().is_empty() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), waited).await.expect("told again");
        task.abort();
        let told = told();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].status.running && told[0].status.ssh_local_port == 60022);
    }

    #[test]
    fn one_line_per_change() {
        let output = Shared::default();
        let events = Events::new(Box::new(output.clone()));
        events.update(|status| status.ssh_local_port = 60022);
        events.update(|status| status.ssh_local_port = 60022);
        events.update(|status| status.running = true);
        events.update(|status| *status = HostagentStatus { exiting: true, ..HostagentStatus::default() });
        let text = String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
        let statuses: Vec<serde_json::Value> = text
            .lines()
            .map(|line| {
                let event: serde_json::Value = serde_json::from_str(line).unwrap();
                assert!(event["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
                event["status"].clone()
            })
            .collect();
        let expect = [
            serde_json::json!({"sshLocalPort": 60022}),
            serde_json::json!({"sshLocalPort": 60022, "running": true}),
            serde_json::json!({"exiting": true}),
        ];
        assert_eq!(statuses, expect);
    }
}
