//! The service moves in: it takes the instance's lock, and only then touches anything else.

use std::io;
use std::path::{Path, PathBuf};

use rdd_host::instance::Instance;
use rdd_host::lock::{FileLock, LockError};
use rdd_host::ready::{Message, ReadyReporter};
use rdd_host::{environment, files, logs};

use crate::board::Board;
use crate::settings::{self, SettingsError};

/// Why the service could not move in.
#[derive(Debug, thiserror::Error)]
pub enum ResidenceError {
    /// Another service has the instance.
    #[error("control plane {name:?} is already running")]
    AlreadyRunning {
        /// The instance.
        name: String,
    },
    /// The lock could not be taken.
    #[error(transparent)]
    Lock(LockError),
    /// A file or directory could not be used.
    #[error("cannot {operation} {path}")]
    File {
        /// What was tried.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The settings could not be saved.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// The service's hold on its instance. Everything that shows "it runs" ends with this value.
pub(crate) struct Residence {
    /// Where the service says how far it is.
    pub(crate) board: Board,
    pid_file: PathBuf,
    config: PathBuf,
    socket: PathBuf,
    /// Dropped last: what is above is ours only as long as we hold it.
    _lock: FileLock,
}

impl Residence {
    /// Takes the instance. `first` is what the service says after its version, before anything else.
    ///
    /// With a parent that waits for us, our standard streams lead to log files from here on.
    pub(crate) fn take(
        instance: &Instance,
        parent: ReadyReporter,
        version: &str,
        first: Message,
    ) -> Result<Residence, TakeError> {
        match Residence::lock(instance) {
            Ok(lock) => Residence::settle(instance, lock, parent, version, first),
            Err(error) => Err(TakeError { error, board: None, parent: Some(parent) }),
        }
    }

    fn lock(instance: &Instance) -> Result<FileLock, ResidenceError> {
        let paths = instance.paths();
        // The lock must be somewhere, so its directory is the one thing made before it is held.
        attempt("make", &paths.dir, files::make_private_dir)?;
        FileLock::try_acquire(&paths.lock()).map_err(|error| match error {
            LockError::Held { .. } => ResidenceError::AlreadyRunning { name: instance.name().to_owned() },
            error @ LockError::Io { .. } => ResidenceError::Lock(error),
        })
    }

    fn settle(
        instance: &Instance,
        lock: FileLock,
        parent: ReadyReporter,
        version: &str,
        first: Message,
    ) -> Result<Residence, TakeError> {
        let paths = instance.paths();
        let has_parent = parent.has_parent();
        let socket = paths.socket();
        if let Err(error) = attempt("make", &paths.short_dir, files::make_private_dir) {
            return Err(TakeError { error, board: None, parent: Some(parent) });
        }
        // The board comes first, so that whoever finds the lock held soon finds somebody to ask.
        let board = match Board::open(&socket, parent, version, first) {
            Ok(board) => board,
            Err((source, parent)) => {
                let error = ResidenceError::File { operation: "listen at", path: socket, source };
                return Err(TakeError { error, board: None, parent: Some(parent) });
            }
        };
        let furnish = || -> Result<(), ResidenceError> {
            if has_parent {
                attempt("write logs in", &paths.log_dir, redirect_to_logs)?;
            }
            // Not those of the settings: another process may be writing them at this moment.
            for file in [&paths.config, &paths.pid_file] {
                attempt("clean up after", file, |file| files::sweep_temporaries_of(file).map(drop))?;
            }
            // Its tokens died with the service that made it.
            attempt("remove", &paths.config, |path| files::remove_file(path).map(drop))?;
            // No line feed: some readers take a number with one for a damaged file.
            let pid = std::process::id().to_string();
            attempt("write", &paths.pid_file, |path| files::write_whole(path, pid.as_bytes(), 0o600))?;
            if !settings::exists(instance)? {
                settings::write(instance, &settings::default_args(instance, &[]))?;
            }
            Ok(())
        };
        if let Err(error) = furnish() {
            return Err(TakeError { error, board: Some(board), parent: None });
        }
        Ok(Residence { board, pid_file: paths.pid_file.clone(), config: paths.config.clone(), socket, _lock: lock })
    }
}

/// A failure to move in, with whatever can still tell the parent about it.
pub(crate) struct TakeError {
    pub(crate) error: ResidenceError,
    board: Option<Board>,
    parent: Option<ReadyReporter>,
}

impl TakeError {
    /// Tells the parent.
    pub(crate) fn tell(&self, message: Message) {
        if let Some(board) = &self.board {
            board.say(message);
        } else if let Some(parent) = &self.parent {
            parent.report(&message);
        }
    }
}

impl Drop for Residence {
    fn drop(&mut self) {
        for path in [&self.config, &self.pid_file, &self.socket] {
            if let Err(error) = files::remove_file(path) {
                tracing::warn!("cannot remove {}: {error}", path.display());
            }
        }
    }
}

fn redirect_to_logs(log_dir: &Path) -> io::Result<()> {
    let keep_all = environment::keep_logs();
    let header = environment::get_text(environment::LOG_TITLE).map(|title| logs::text_header(&title));
    let output = logs::open_rotated(log_dir, "rdd.stdout", keep_all, header.as_deref())?;
    let errors = logs::open_rotated(log_dir, "rdd.stderr", keep_all, header.as_deref())?;
    logs::redirect_standard_streams(&output, &errors)
}

fn attempt(
    operation: &'static str,
    path: &Path,
    what: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<(), ResidenceError> {
    what(path).map_err(|source| ResidenceError::File { operation, path: path.to_owned(), source })
}
