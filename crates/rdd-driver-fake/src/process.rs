//! The process that stands for a VM.

#![expect(clippy::print_stderr, reason = "a hypervisor says on standard error why it cannot start")]

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rdd_host::files;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::time::{sleep, timeout};

use crate::control::{Command, Message, Request, SOCKET, VM_TYPE, port_taken_words};
use crate::guest::{self, Guest};
use crate::scenario::Scenario;

/// What the process is told: `--dir DIR --name NAME --ssh-port N --seed FILE --scenario JSON`.
pub(crate) struct Arguments {
    pub(crate) dir: PathBuf,
    pub(crate) name: String,
    pub(crate) ssh_port: u16,
    pub(crate) seed: PathBuf,
    pub(crate) scenario: Scenario,
}

impl Arguments {
    pub(crate) fn to_words(&self) -> Vec<OsString> {
        let scenario = serde_json::to_string(&self.scenario).expect("a struct of plain values");
        vec![
            "--dir".into(),
            self.dir.clone().into(),
            "--name".into(),
            self.name.clone().into(),
            "--ssh-port".into(),
            self.ssh_port.to_string().into(),
            "--seed".into(),
            self.seed.clone().into(),
            "--scenario".into(),
            scenario.into(),
        ]
    }

    fn from_words(words: Vec<OsString>) -> Result<Self, String> {
        let mut words = words.into_iter();
        let mut value = |name: &str| match words.next() {
            Some(word) if word == name => words.next().ok_or_else(|| format!("{name} has no value")),
            _ => Err(format!("{name} is missing")),
        };
        let text = |word: OsString| word.into_string().map_err(|_| "an argument is not text".to_owned());
        Ok(Self {
            dir: value("--dir")?.into(),
            name: text(value("--name")?)?,
            ssh_port: text(value("--ssh-port")?)?.parse().map_err(|e| format!("--ssh-port: {e}"))?,
            seed: value("--seed")?.into(),
            scenario: serde_json::from_str(&text(value("--scenario")?)?).map_err(|e| format!("--scenario: {e}"))?,
        })
    }
}

/// Runs the process that stands for a VM, and returns its exit status.
///
/// `rdd fake-vm` calls it with the words after `fake-vm`; nobody calls it by hand.
pub fn main(words: Vec<OsString>) -> i32 {
    let arguments = match Arguments::from_words(words) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("fake-vm: {error}");
            return 2;
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.map_err(|e| e.to_string()).and_then(|runtime| runtime.block_on(run(arguments)));
    match ended {
        Ok(status) => status,
        Err(error) => {
            eprintln!("fake-vm: {error}");
            1
        }
    }
}

async fn run(arguments: Arguments) -> Result<i32, String> {
    let Arguments { dir, name, ssh_port, seed, scenario } = arguments;
    if let Some(reason) = &scenario.fail_start {
        return Err(reason.clone());
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, ssh_port)).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => port_taken_words(ssh_port),
        _ => error.to_string(),
    })?;
    let pid_file = dir.join(format!("{VM_TYPE}.pid"));
    let pid = format!("{}\n", std::process::id());
    files::write_whole(&pid_file, pid.as_bytes(), 0o644).map_err(|e| e.to_string())?;
    let guest = Guest::boot(scenario, &name, &seed);
    // What opens a VM is the user's key; a real guest has it from the seed.
    let authorized = dir.parent().unwrap_or(Path::new("/")).join("_config").join("user.pub");
    let socket = UnixListener::bind(dir.join(SOCKET)).map_err(|e| e.to_string())?;
    let sshd = tokio::spawn(guest::serve(guest.clone(), listener, authorized));
    let control = tokio::spawn(serve_control(guest.clone(), socket, ssh_port));
    let scenario = guest.scenario();
    let reason = tokio::select! {
        reason = guest.off() => Some(reason),
        () = after(scenario.power_off_after) => {
            guest.switch_off("guest-shutdown");
            Some("guest-shutdown".to_owned())
        }
        () = after(scenario.crash_after) => None,
    };
    sshd.abort();
    if reason.is_none() {
        return Ok(134); // A crash says and removes nothing.
    }
    // The drivers that listen are told why, then the socket ends.
    let _ = timeout(std::time::Duration::from_millis(200), control).await;
    let _ = files::remove_file(&pid_file);
    let _ = files::remove_file(&dir.join(SOCKET));
    Ok(0)
}

async fn after(delay: Option<std::time::Duration>) {
    match delay {
        Some(delay) => sleep(delay).await,
        None => std::future::pending().await,
    }
}

/// Serves the control socket until the guest is off and everybody has been told.
async fn serve_control(guest: Arc<Guest>, socket: UnixListener, ssh_port: u16) {
    let mut drivers = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, _)) => {
                    drivers.spawn(serve_driver(guest.clone(), stream, ssh_port));
                }
                Err(_) => return,
            },
            _ = guest.off() => break,
        }
    }
    while drivers.join_next().await.is_some() {}
}

async fn serve_driver(guest: Arc<Guest>, stream: UnixStream, ssh_port: u16) {
    if guest.scenario().hang_control {
        std::future::pending::<()>().await;
    }
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let mut send = async |message: Message| {
        let mut line = serde_json::to_string(&message).expect("a struct of plain values");
        line.push('\n');
        writer.write_all(line.as_bytes()).await
    };
    if send(Message::Hello { ssh_port }).await.is_err() {
        return;
    }
    loop {
        tokio::select! {
            biased;
            line = lines.next_line() => {
                let Ok(Some(line)) = line else { return };
                let Ok(request) = serde_json::from_str::<Request>(&line) else { return };
                if send(Message::Heard { id: request.id }).await.is_err() {
                    return;
                }
                let guest = guest.clone();
                tokio::spawn(async move { obey(&guest, request.command).await });
            }
            reason = guest.off() => {
                let _ = send(Message::Ends { reason }).await;
                return;
            }
        }
    }
}

async fn obey(guest: &Guest, command: Command) {
    match command {
        Command::PowerDown => guest.press_power_button().await,
        Command::Quit if guest.scenario().ignore_quit => {}
        Command::Quit => {
            sleep(guest.scenario().quit).await;
            guest.switch_off("host-quit");
        }
    }
}
