//! Processes by pidfd.
//!
//! A pidfd names one process for ever, even after it ended and its number was given to another. It
//! becomes readable when the process ends, so waiting costs nothing. (macOS has no such thing; its
//! issue brings a kqueue in the same place.)

#![expect(unsafe_code, reason = "a hook between fork and exec, and a socket option that rustix does not know")]

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, setsid, waitid};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use super::{Listener, Signal, Spawn};
use crate::{descriptor, environment};

/// The pause before a process is watched again that could not be watched.
const WATCH_AGAIN: Duration = Duration::from_millis(200);

/// How a child ended; `None` while it lives. The error is the kernel's refusal to tell.
type Exit = Option<Result<ExitStatus, Errno>>;

/// A child that was started here.
#[derive(Clone, Debug)]
pub struct Child {
    pid: u32,
    pidfd: Arc<OwnedFd>,
    exit: watch::Receiver<Exit>,
}

impl Child {
    /// Returns the process id, for people and for files that other programs read.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns how the child ended, when it has. Many may wait; late callers get the same answer.
    pub async fn wait(&self) -> io::Result<ExitStatus> {
        let mut exit = self.exit.clone();
        match exit.wait_for(Option::is_some).await {
            Ok(exit) => exit.expect("waited for").map_err(io::Error::from),
            Err(_) => Err(io::Error::other("the runtime that watched the child has ended")),
        }
    }

    /// Returns how the child ended, if it has.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        (*self.exit.borrow()).and_then(Result::ok)
    }

    /// Sends a signal. A child that has ended is left in peace, and that is no error.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        send(&self.pidfd, signal)
    }

    /// Ends the child at once.
    pub fn kill(&self) -> io::Result<()> {
        self.signal(Signal::Kill)
    }

    /// Lets the child run on by itself. It is still reaped if it ends while we live.
    pub fn disown(self) {}
}

/// Makes a command with the program, its arguments and its environment.
fn command(program: OsString, args: Vec<OsString>, env: Vec<(OsString, Option<OsString>)>) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    // A number that means something to us would mean something else to a child.
    command.env_remove(environment::READY_FD);
    for (name, value) in env {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

pub(super) fn exec(spawn: Spawn) -> io::Error {
    let mut command = command(spawn.program, spawn.args, spawn.env);
    if let Some(cwd) = spawn.cwd {
        command.current_dir(cwd);
    }
    command.exec()
}

pub(super) fn spawn(spawn: Spawn) -> io::Result<Child> {
    let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
    let Spawn { program, args, env, cwd, stdin, stdout, stderr, inherit, session } = spawn;
    let mut command = command(program, args, env);
    if let Some(cwd) = cwd {
        command.current_dir(cwd);
    }
    command.stdin(stdin.map_or_else(Stdio::null, Stdio::from));
    command.stdout(stdout.map_or_else(Stdio::null, Stdio::from));
    command.stderr(stderr.map_or_else(Stdio::null, Stdio::from));
    let prepare = move || {
        // Descriptors are made close-on-exec everywhere in Rust; only here, after the fork, is that
        // undone, so that no other child started at the same moment gets them.
        for file in &inherit {
            fcntl_setfd(file, FdFlags::empty())?;
        }
        if session {
            setsid()?;
        }
        Ok(())
    };
    // SAFETY: the closure runs in the forked child, where only async-signal-safe calls are allowed.
    // It makes system calls and builds an `io::Error` from a number; it neither allocates nor locks.
    unsafe { command.pre_exec(prepare) };
    let mut child = command.spawn()?;
    drop(command);

    let pid = child.id();
    match watch_child(&child) {
        Ok((pidfd, watched)) => {
            let (ended, exit) = watch::channel(None);
            runtime.spawn(async move {
                let status = reap(&watched).await;
                ended.send_replace(Some(status));
            });
            Ok(Child { pid, pidfd: Arc::new(pidfd), exit })
        }
        Err(error) => {
            // Nobody could ever reach this child again, so it must not stay.
            child.kill()?;
            child.wait()?;
            Err(error)
        }
    }
}

/// Opens the child's pidfd, twice: to signal, and to watch.
fn watch_child(child: &std::process::Child) -> io::Result<(OwnedFd, AsyncFd<OwnedFd>)> {
    // The number cannot be anybody else's: the child is not reaped yet.
    let pidfd = pidfd_open(to_pid(child.id())?, PidfdFlags::NONBLOCK)?;
    let watched = descriptor::watch(pidfd.try_clone()?)?;
    Ok((pidfd, watched))
}

/// Waits for the end of our child and takes its exit status from the kernel.
async fn reap(pidfd: &AsyncFd<OwnedFd>) -> Result<ExitStatus, Errno> {
    loop {
        let mut readable = pidfd.readable().await.map_err(|_| Errno::IO)?;
        match waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(Some(status)) => {
                let core = if status.dumped() { 0x80 } else { 0 };
                let raw = match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => (code & 0xff) << 8,
                    (None, signal) => signal.unwrap_or_default() | core,
                };
                return Ok(ExitStatus::from_raw(raw));
            }
            Ok(None) | Err(Errno::AGAIN) => readable.clear_ready(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Raises the number of files that this process may have open to what it is allowed to ask for.
/// The usual 1024 are for programs that use `select`. Children inherit the new limit.
pub fn raise_descriptor_limit() -> io::Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// A process that is not our child.
#[derive(Debug)]
pub struct Handle {
    pid: u32,
    pidfd: OwnedFd,
}

impl Handle {
    /// Returns the process at the other end of a connected Unix socket: the one that connected, or
    /// the one that listens.
    pub fn of_peer(stream: &impl AsFd) -> io::Result<Handle> {
        let credentials = rustix::net::sockopt::socket_peercred(stream)?;
        let pid = u32::try_from(credentials.pid.as_raw_nonzero().get()).map_err(io::Error::other)?;
        if let Some(pidfd) = peer_pidfd(stream)? {
            return Ok(Handle { pid, pidfd });
        }
        // An older kernel. The number may be stale by now, but if the other end is still open after
        // the pidfd was made, its process lived when it was made, and the number was its own.
        let pidfd = pidfd_open(credentials.pid, PidfdFlags::empty())?;
        let mut polled = [PollFd::new(stream, PollFlags::empty())];
        poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        if polled[0].revents().intersects(PollFlags::HUP | PollFlags::ERR) {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "the peer has gone"));
        }
        Ok(Handle { pid, pidfd })
    }

    /// Returns who listens at a Unix socket. Waits neither for an answer nor for room.
    pub fn of_listener(path: &Path) -> io::Result<Listener> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        match connect(&socket, &SocketAddrUnix::new(path)?) {
            Ok(()) => {}
            Err(Errno::NOENT | Errno::CONNREFUSED) => return Ok(Listener::Nobody),
            Err(Errno::AGAIN) => return Ok(Listener::Unknown),
            Err(error) => return Err(error.into()),
        }
        match Self::of_peer(&socket) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(Listener::Nobody),
            listener => listener.map(Listener::Process),
        }
    }

    /// Returns the process, other than this one, that holds the lock at `path`; `None` if none does.
    ///
    /// For a process that cannot be reached by its socket, because it hangs. It is slow: it looks at
    /// the open files of every process of ours. (Linux only; elsewhere nobody is found.)
    pub fn of_lock_holder(path: &Path) -> io::Result<Option<Handle>> {
        match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            lock => Self::of_holder(&lock?),
        }
    }

    /// Returns the process, other than this one, that holds the lock on an open file, which need not
    /// have a path any more. As slow as [`Handle::of_lock_holder`].
    pub fn of_holder(lock: &File) -> io::Result<Option<Handle>> {
        let lock = lock.metadata()?;
        let processes = match std::fs::read_dir("/proc") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            processes => processes?,
        };
        for process in processes {
            let Some(pid) = process?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            if pid == std::process::id() || !holds_lock(pid, &lock) {
                continue;
            }
            let Ok(pidfd) = pidfd_open(to_pid(pid)?, PidfdFlags::NONBLOCK) else { continue };
            // The number may have gone to another process before the pidfd was made. If it holds the
            // lock still, and what the pidfd names lives after that, then it is what holds the lock.
            if holds_lock(pid, &lock) && !has_ended(&pidfd)? {
                return Ok(Some(Handle { pid, pidfd }));
            }
        }
        Ok(None)
    }

    /// Returns the process id, for people.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns when the process has ended.
    pub async fn wait(&self) -> io::Result<()> {
        let watched = descriptor::watch(self.pidfd.try_clone()?)?;
        watched.readable().await?.retain_ready();
        Ok(())
    }

    /// Returns when the process has ended, also if it cannot be watched for a while: that takes a
    /// descriptor, and we may have no more of them. For those who take an end for granted by that.
    pub async fn ended(&self) {
        while let Err(error) = self.wait().await {
            tracing::warn!(pid = self.pid, %error, "cannot watch a process, trying again");
            tokio::time::sleep(WATCH_AGAIN).await;
        }
    }

    /// Sends a signal. A process that has ended is left in peace, and that is no error.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        send(&self.pidfd, signal)
    }

    /// Ends the process at once.
    pub fn kill(&self) -> io::Result<()> {
        self.signal(Signal::Kill)
    }
}

/// Returns whether a process has the file open by a descriptor that holds a lock on it.
fn holds_lock(pid: u32, file: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    // Processes of others, and those that end meanwhile, cannot be looked at.
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors.filter_map(Result::ok).any(|descriptor| {
        let is_it =
            std::fs::metadata(descriptor.path()).is_ok_and(|open| (open.dev(), open.ino()) == (file.dev(), file.ino()));
        let number = descriptor.file_name();
        // Somebody who only looks whether the lock is held has the file open as well, for a moment.
        let lists_lock = |text: String| text.lines().any(|line| line.starts_with("lock:") && line.contains("OFDLCK"));
        is_it
            && std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", number.to_string_lossy())).is_ok_and(lists_lock)
    })
}

fn has_ended(pidfd: &OwnedFd) -> io::Result<bool> {
    let mut polled = [PollFd::new(pidfd, PollFlags::IN)];
    poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(polled[0].revents().contains(PollFlags::IN))
}

/// Asks the kernel for the peer's pidfd; `None` if the kernel is older than Linux 6.5.
fn peer_pidfd(stream: &impl AsFd) -> io::Result<Option<OwnedFd>> {
    const SO_PEERPIDFD: libc::c_int = 77;
    let mut descriptor: libc::c_int = -1;
    let mut length = libc::socklen_t::try_from(size_of::<libc::c_int>()).expect("four fits");
    // SAFETY: the socket is open because it is borrowed; the kernel writes at most `length` bytes to
    // `descriptor`, which is as large, and the new length to `length`.
    let result = unsafe {
        libc::getsockopt(
            stream.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PEERPIDFD,
            std::ptr::from_mut(&mut descriptor).cast(),
            &raw mut length,
        )
    };
    if result == 0 && descriptor >= 0 {
        // SAFETY: the call succeeded, so this is a new descriptor that nobody else owns.
        return Ok(Some(unsafe { OwnedFd::from_raw_fd(descriptor) }));
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENOPROTOOPT | libc::EINVAL | libc::EOPNOTSUPP) => Ok(None),
        Some(libc::ESRCH | libc::ENODATA) => Err(io::Error::new(io::ErrorKind::NotConnected, "the peer has gone")),
        _ => Err(error),
    }
}

fn to_pid(pid: u32) -> io::Result<Pid> {
    let raw = i32::try_from(pid).map_err(io::Error::other)?;
    Pid::from_raw(raw).ok_or_else(|| io::Error::other("process id 0"))
}

fn send(pidfd: &OwnedFd, signal: Signal) -> io::Result<()> {
    use rustix::process::Signal as Native;
    let native = match signal {
        Signal::Interrupt => Native::INT,
        Signal::Terminate => Native::TERM,
        Signal::Hangup => Native::HUP,
        Signal::Kill => Native::KILL,
        Signal::Stop => Native::STOP,
        Signal::Continue => Native::CONT,
    };
    match pidfd_send_signal(pidfd, native) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
