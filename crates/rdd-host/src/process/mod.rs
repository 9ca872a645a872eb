//! Processes, each reached through a handle that cannot go stale.
//!
//! [`Spawn`] describes a child, [`Child`] is one that runs, [`Handle`] is a process of somebody
//! else, found as the peer of a socket we are connected to. There is no way here to reach a process
//! by a number.
//!
//! # Guarantees
//!
//! - Dropping a [`Child`] or a [`Handle`] never ends the process.
//! - A child is reaped by a task of ours as soon as it ends, whether somebody waits or not.
//! - A signal reaches the process it is meant for, or nobody.
//!
//! # Assumptions
//!
//! [`Spawn::spawn`] and the `wait` functions run inside a tokio runtime.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

#[cfg(unix)]
#[path = "unix.rs"]
mod system;

pub use system::{Child, Handle, raise_descriptor_limit};

/// What a process can be told without words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Please stop, as by Ctrl-C.
    Interrupt,
    /// Please stop.
    Terminate,
    /// The terminal is gone.
    Hangup,
    /// End at once.
    Kill,
    /// Pause.
    Stop,
    /// Go on after a pause.
    Continue,
}

/// Who listens at a Unix socket; from [`Handle::of_listener`].
#[derive(Debug)]
pub enum Listener {
    /// Nobody, or there is no socket.
    Nobody,
    /// This process.
    Process(Handle),
    /// Somebody who hangs: more callers wait already than are let in, so that we cannot see who it is.
    Unknown,
}

impl Listener {
    /// Returns whether somebody listens who does not end by himself within `patience`.
    pub async fn stays(&self, patience: Duration) -> bool {
        match self {
            Self::Nobody => false,
            // An end that cannot be waited for is no end.
            Self::Process(process) => !matches!(tokio::time::timeout(patience, process.wait()).await, Ok(Ok(()))),
            Self::Unknown => true,
        }
    }
}

/// A child to be started.
///
/// Unless said otherwise it inherits the environment and the working directory, its three standard
/// streams lead nowhere, and it stays in our session.
#[derive(Debug)]
pub struct Spawn {
    /// The program: a path, or a name to be looked up.
    pub program: OsString,
    /// The arguments after the program's name.
    pub args: Vec<OsString>,
    /// Changes to the environment, in order: a value to set, `None` to remove.
    pub env: Vec<(OsString, Option<OsString>)>,
    /// The working directory.
    pub cwd: Option<PathBuf>,
    /// Standard input.
    pub stdin: Option<File>,
    /// Standard output.
    pub stdout: Option<File>,
    /// Standard error.
    pub stderr: Option<File>,
    /// Files that stay open in the child, under the number they have here. Our own copies are
    /// closed after the start.
    pub inherit: Vec<File>,
    /// Whether the child leads a session (and so a process group) of its own: signals of our
    /// terminal do not reach it.
    pub session: bool,
}

impl Spawn {
    /// Describes a child that runs `program` without arguments.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: None,
            stdin: None,
            stdout: None,
            stderr: None,
            inherit: Vec::new(),
            session: false,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable in the child's environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Removes a variable from the child's environment.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), None));
        self
    }

    /// Keeps a file open in the child.
    #[must_use]
    pub fn inherit(mut self, file: File) -> Self {
        self.inherit.push(file);
        self
    }

    /// Starts the child in a session of its own.
    #[must_use]
    pub fn in_own_session(mut self) -> Self {
        self.session = true;
        self
    }

    /// Replaces this process by the program; its standard streams stay ours. Returns only if that
    /// failed.
    pub fn exec(self) -> std::io::Error {
        system::exec(self)
    }

    /// Starts the child.
    pub fn spawn(self) -> std::io::Result<Child> {
        system::spawn(self)
    }
}
