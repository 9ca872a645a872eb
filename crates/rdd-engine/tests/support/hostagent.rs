//! A hostagent for tests: a process that holds its lock, starts or attaches to a fake VM, answers on
//! its socket and prints events. It can be told to misbehave by a file `misbehave` in the machine's
//! directory: `fail`, `silent`, `deaf` (ignores requests to stop and to let go), `chatty`, `slow` (never
//! ready).
//!
//! The process is the test program again, run with the name of the test `hostagent_process`.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use rdd_driver_fake::FakeDriver;
use rdd_host::lock::FileLock;
use rdd_host::net::free_port;
use rdd_host::signals::StopSignals;
use rdd_hostagent::protocol::StopBody;
use rdd_machine::driver::StartOptions;
use rdd_machine::{Driver, HostagentEvent, HostagentStatus, MachineName, Vm};
use rdd_machine_dir::MachineDir;
use rdd_template::HostFacts;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// Returns the command that runs the test `test` of this program with further words.
pub(crate) fn this_program(test: &str) -> Vec<OsString> {
    let program = std::env::current_exe().expect("this program has a path").into_os_string();
    vec![program, "--exact".into(), test.into(), "--nocapture".into(), "--".into()]
}

/// Returns the words after `--`, if this process was started by [`this_program`].
pub(crate) fn words() -> Option<Vec<OsString>> {
    let mut words = std::env::args_os().skip_while(|w| w != "--");
    words.next()?;
    Some(words.collect())
}

/// Runs the hostagent and returns its exit status.
pub(crate) fn main(words: Vec<OsString>) -> i32 {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    match runtime.block_on(run(words)) {
        Ok(()) => 0,
        Err(error) => {
            let line = serde_json::json!({"level": "fatal", "msg": error, "time": ""});
            writeln!(std::io::stderr(), "{line}").expect("the log can be written");
            1
        }
    }
}

enum Ask {
    Stop(StopBody),
    Release,
}

async fn run(words: Vec<OsString>) -> Result<(), String> {
    let mut signals = StopSignals::new().map_err(|e| e.to_string())?;
    let text = |e: &dyn std::error::Error| e.to_string();
    let value = |flag: &str| {
        let at = words.iter().position(|w| w == flag)?;
        words.get(at + 1).map(PathBuf::from)
    };
    let (pid_file, socket) = (value("--pidfile").expect("a PID file"), value("--socket").expect("a socket"));
    let name = words.last().and_then(|n| n.to_str()).expect("a name");
    let name = MachineName::new(name).map_err(|e| text(&e))?;
    let home = PathBuf::from(std::env::var_os("LIMA_HOME").expect("the Lima home"));
    let dir = MachineDir::new(&home, &name);
    let misbehave = std::fs::read_to_string(dir.file("misbehave")).unwrap_or_default();
    match misbehave.as_str() {
        "fail" => return Err("told to fail".to_owned()),
        "silent" => std::future::pending().await,
        _ => {}
    }
    let _lock = FileLock::try_acquire(&dir.ha_lock()).map_err(|e| text(&e))?;
    rdd_host::files::write_whole(&pid_file, format!("{}\n", std::process::id()).as_bytes(), 0o644)
        .map_err(|e| text(&e))?;
    let listener = UnixListener::bind(&socket).map_err(|e| text(&e))?;
    let (asks, mut asked) = mpsc::unbounded_channel();
    tokio::spawn(serve(listener, asks));

    let template = std::fs::read_to_string(dir.lima_yaml()).map_err(|e| text(&e))?;
    let template = rdd_template::parse(&template).map_err(|e| text(&e))?;
    let config = template.resolve(&name, dir.path(), &HostFacts::detect(&["fake"])).map_err(|e| text(&e))?;
    let driver = FakeDriver::new(this_program("vm_process"));
    let vm = match driver.attach(&config).await.map_err(|e| text(&e))? {
        Some(vm) => vm,
        None => {
            let ssh_port = free_port().map_err(|e| text(&e))?;
            let options = StartOptions { seed: dir.cidata_iso(), ssh_port };
            driver.start(&config, &options).await.map_err(|e| text(&e))?
        }
    };
    let port = vm.ssh_address().port();
    say(HostagentStatus { ssh_local_port: port, progress: Some("the guest".into()), ..HostagentStatus::default() });
    if misbehave == "chatty" {
        write_line("this is no event");
    }
    if misbehave != "slow" {
        say(HostagentStatus { ssh_local_port: port, running: true, ..HostagentStatus::default() });
    }
    let deaf = misbehave == "deaf";
    tokio::select! {
        _ = vm.wait() => {}
        _ = signals.next(), if !deaf => stop(&*vm, Duration::from_secs(5)).await,
        Some(ask) = asked.recv(), if !deaf => match ask {
            Ask::Stop(body) => {
                let grace = if body.force { 0.0 } else { body.grace_seconds.unwrap_or(5.0) };
                stop(&*vm, Duration::from_secs_f64(grace)).await;
            }
            Ask::Release => return Ok(()),
        },
    }
    let _gone = std::fs::remove_file(&pid_file);
    say(HostagentStatus { exiting: true, ..HostagentStatus::default() });
    Ok(())
}

async fn stop(vm: &dyn Vm, grace: Duration) {
    let deadline = Instant::now() + grace;
    let mut is_off = false;
    // A guest that boots does not hear the first ones.
    while !is_off && Instant::now() < deadline {
        let _asked = vm.power_down().await;
        let until = deadline.min(Instant::now() + Duration::from_millis(50));
        is_off = timeout_at(until, vm.wait()).await.is_ok();
    }
    if !is_off {
        let _asked = vm.quit().await;
        if tokio::time::timeout(Duration::from_millis(300), vm.wait()).await.is_err() {
            let _killed = vm.kill().await;
            vm.wait().await;
        }
    }
}

fn say(status: HostagentStatus) {
    let event = HostagentEvent { time: String::new(), status };
    write_line(&serde_json::to_string(&event).expect("a struct of plain values"));
}

fn write_line(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").expect("the log can be written");
    out.flush().expect("the log can be written");
}

async fn serve(listener: UnixListener, asks: mpsc::UnboundedSender<Ask>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream, asks.clone()));
    }
}

/// Speaks just enough HTTP.
async fn answer(mut stream: UnixStream, asks: mpsc::UnboundedSender<Ask>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return Ok(());
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.lines().find_map(|l| l.strip_prefix("content-length:")).and_then(|l| l.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}").await?;
    stream.shutdown().await?;
    if head.starts_with("post /v1/stop") {
        let _ended = asks.send(Ask::Stop(serde_json::from_slice(&body).unwrap_or_default()));
    } else if head.starts_with("post /v1/release") {
        let _ended = asks.send(Ask::Release);
    }
    Ok(())
}
