//! The one map from errors to exit codes and hints.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | any other failure, wrong usage included |
//! | 4 | a deadline passed |
//! | n | the code of a command that was run for the user |

use rdd_daemon::{
    BackupError, DeadlineExceeded, DeleteError, EnsureError, ORPHANS_HINT, PeerError, RUNNING_HINT, ResidenceError,
    SILENT_HINT, ServeError, SettingsError, StartError, StopError,
};

/// A failure together with what to do about it, where the command knows that better than this file.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Advised {
    message: String,
    hint: String,
    #[source]
    cause: Option<anyhow::Error>,
}

impl Advised {
    /// Makes the error.
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Advised {
        Advised { message: message.into(), hint: hint.into(), cause: None }
    }

    /// Adds what the failure comes from. Its own hint is not shown.
    pub(crate) fn because(self, cause: impl Into<anyhow::Error>) -> Advised {
        Advised { cause: Some(cause.into()), ..self }
    }
}

/// An end with a given code and nothing more to say.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("exit status {0}")]
pub(crate) struct Exit(pub(crate) u8);

/// How a failure is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The exit code.
    pub(crate) code: u8,
    /// Whether the line's level is `fatal`; errors with a code of their own are `error`.
    pub(crate) is_fatal: bool,
    /// What the line says; nothing for [`Exit`].
    pub(crate) message: Option<String>,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

/// Judges a failure.
pub(crate) fn judge(error: &anyhow::Error) -> Verdict {
    if let Some(Exit(code)) = error.downcast_ref::<Exit>() {
        return Verdict { code: *code, is_fatal: false, message: None, hint: None };
    }
    let code = if error.chain().any(|cause| cause.is::<DeadlineExceeded>()) { 4 } else { 1 };
    Verdict { code, is_fatal: code == 1, message: Some(message(error)), hint: advice(error) }
}

/// Returns the error with its causes, on one line.
pub(crate) fn message(error: &anyhow::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in error.chain().map(ToString::to_string) {
        // Some errors repeat their cause; people need to read it once.
        if !parts.last().is_some_and(|last| last.ends_with(&cause)) {
            parts.push(cause);
        }
    }
    parts.join(": ")
}

fn advice(error: &anyhow::Error) -> Option<String> {
    let advised = error.chain().find_map(|cause| cause.downcast_ref::<Advised>());
    advised.map(|advised| advised.hint.clone()).or_else(|| hint(error).map(str::to_owned))
}

fn hint(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(|cause| {
        if cause.is::<DeadlineExceeded>() {
            return Some("see what it does with 'rdd svc log -f', or wait longer with --timeout");
        }
        if let Some(ServeError::Residence(ResidenceError::AlreadyRunning { .. })) = cause.downcast_ref() {
            return Some("see it with 'rdd svc status', stop it with 'rdd svc stop'");
        }
        if let Some(EnsureError::Kubeconfig { .. }) = cause.downcast_ref() {
            return Some("have it written anew: rdd svc stop && rdd svc start");
        }
        if let Some(StopError::Orphans { .. }) = stop_error(cause) {
            return Some(ORPHANS_HINT);
        }
        match start_error(cause) {
            Some(StartError::Peer(PeerError::Silent { .. })) => return Some(SILENT_HINT),
            Some(StartError::Exited { .. }) => return Some("see its last words with 'rdd svc log'"),
            Some(StartError::Settings(SettingsError::Malformed { .. } | SettingsError::Refused { .. })) => {
                return Some("correct the file, or begin anew with 'rdd svc delete'");
            }
            _ => {}
        }
        if let Some(BackupError::Running { .. }) = cause.downcast_ref() {
            return Some(RUNNING_HINT);
        }
        if let Some(rdd_host::instance::InstanceError::TooLong { .. }) = cause.downcast_ref() {
            return Some("choose a shorter name with --instance or RDD_INSTANCE");
        }
        None
    })
}

/// Returns the failed start that an error is, or hands on unchanged.
fn start_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a StartError> {
    match error.downcast_ref::<EnsureError>() {
        Some(EnsureError::Start(error)) => Some(error),
        Some(EnsureError::Status(_) | EnsureError::Kubeconfig { .. }) => None,
        None => error.downcast_ref(),
    }
}

/// Returns the failed stop that an error is, or hands on unchanged.
fn stop_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a StopError> {
    match error.downcast_ref::<DeleteError>() {
        Some(DeleteError::Stop(error)) => Some(error),
        Some(_) => None,
        None => error.downcast_ref(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes() {
        let deadline = anyhow::Error::new(DeadlineExceeded).context("timed out waiting for it");
        let verdict = judge(&deadline);
        assert_eq!((verdict.code, verdict.is_fatal), (4, false));
        assert_eq!(verdict.message.as_deref(), Some("timed out waiting for it: context deadline exceeded"));
        assert_eq!(judge(&anyhow::anyhow!("plain")).code, 1);
        assert!(judge(&anyhow::anyhow!("plain")).is_fatal);
        assert_eq!(
            judge(&anyhow::Error::new(Exit(130))),
            Verdict { code: 130, is_fatal: false, message: None, hint: None }
        );
    }

    #[test]
    fn a_command_may_know_better_what_to_do() {
        let verdict = judge(&Advised::new("no time", "look there").because(DeadlineExceeded).into());
        assert_eq!((verdict.code, verdict.hint.as_deref()), (4, Some("look there")));
        assert_eq!(verdict.message.as_deref(), Some("no time: context deadline exceeded"));
    }

    #[test]
    fn a_repeated_cause_is_said_once() {
        let error = anyhow::anyhow!("no room").context("cannot write x: no room");
        assert_eq!(message(&error), "cannot write x: no room");
    }
}
