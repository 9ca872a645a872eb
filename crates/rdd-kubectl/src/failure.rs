//! What can go wrong, and kubectl's words for it.
//!
//! After `k8s.io/kubectl/pkg/cmd/util/helpers.go` (`checkErr`, `StandardErrorMessage`).

use std::fmt::Write as _;
use std::path::Path;

use rdd_api::{Reason, Status};

/// Why a command did not succeed.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The server refused. `context` says what was tried, and ends with `: ` unless empty.
    #[error("{context}{}", status.message)]
    Status {
        /// The server's answer.
        status: Box<Status>,
        /// As in `error when creating "f.yaml": `.
        context: String,
    },
    /// Anything else, told after `error: `.
    #[error("{0}")]
    Message(String),
    /// What an installed kubectl can do and this cannot. [`Failure::located`] says how it reaches the same server.
    #[error("{text}")]
    Elsewhere {
        /// What failed.
        text: String,
        /// What the hint begins with, as in `use -o wide, or `.
        lead: &'static str,
        /// The command.
        words: String,
    },
    /// A text that stands alone.
    #[error("{0}")]
    Verbatim(String),
    /// Several, each told.
    #[error("several failures")]
    Several(Vec<Failure>),
    /// Everything was said already.
    #[error("exit status {0}")]
    Exit(i32),
    /// Whoever read our output has gone; there is nobody to tell.
    #[error("the reader has gone")]
    ReaderGone,
}

/// The exit code of a program that SIGPIPE ended.
const SIGPIPE_CODE: i32 = 141;

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Status { status: Box::new(status), context: String::new() }
    }
}

impl Failure {
    /// A failure of ours.
    pub(crate) fn message(text: impl Into<String>) -> Self {
        Self::Message(text.into())
    }

    /// A command that needs objects and got none.
    pub(crate) fn no_objects() -> Self {
        Self::message(
            "You must provide one or more resources by argument or filename.\nExample resource specifications \
             include:\n   '-f rsrc.yaml'\n   '--filename=rsrc.json'\n   '<resource> <name>'\n   '<resource>'",
        )
    }

    /// Wrong usage of a command, with the way to its help.
    pub(crate) fn usage(command: &str, text: &str) -> Self {
        Self::Message(format!("{text}\nSee 'kubectl {command} -h' for help and examples"))
    }

    /// Returns nothing, the one, or all.
    pub(crate) fn all(mut failures: Vec<Failure>) -> Result<(), Failure> {
        match failures.len() {
            0 => Ok(()),
            1 => Err(failures.remove(0)),
            _ => Err(Self::Several(failures)),
        }
    }

    /// Says what was being done to what, as in `error when creating "f.yaml": …`.
    pub(crate) fn when(self, doing: &str, source: Option<&str>) -> Self {
        let Some(source) = source else { return self };
        let prefix = format!("error when {doing} {}: ", rdd_api::field::quote(source));
        match self {
            Self::Status { status, context } => Self::Status { status, context: prefix + &context },
            Self::Message(text) => Self::Message(prefix + &text),
            other => other,
        }
    }

    /// Adds the kubeconfig to a hint that needs one. It is spelled out because an installed kubectl would go by the
    /// user's own configuration, to whatever cluster that names: so would `rdd kubectl`.
    pub(crate) fn located(self, kubeconfig: &Path) -> Self {
        match self {
            Self::Elsewhere { text, lead, words } => {
                let command = installed(kubeconfig);
                Self::Message(format!("{text}\nhint: {lead}an installed kubectl: {command} {words}"))
            }
            other => other,
        }
    }

    /// Returns the server's answer, if that is what failed.
    pub(crate) fn status(&self) -> Option<&Status> {
        match self {
            Self::Status { status, .. } => Some(status),
            _ => None,
        }
    }

    /// Returns whether the server said that there is no such object.
    pub(crate) fn is_not_found(&self) -> bool {
        self.status().is_some_and(|s| s.is(&Reason::NOT_FOUND))
    }

    /// Returns whether the server saw a newer object than we did.
    pub(crate) fn is_conflict(&self) -> bool {
        self.status().is_some_and(|s| s.is(&Reason::CONFLICT))
    }

    /// Returns the exit code.
    pub(crate) fn code(&self) -> i32 {
        match self {
            Self::Exit(code) => *code,
            Self::ReaderGone => SIGPIPE_CODE,
            _ => 1,
        }
    }

    /// Returns what to say, ending with a line feed, or nothing.
    pub(crate) fn render(&self) -> String {
        let text = match self {
            Self::Exit(_) | Self::ReaderGone => return String::new(),
            Self::Status { status, .. } if status.is(&Reason::INVALID) => render_invalid(status),
            Self::Several(all) => all.iter().map(|f| f.line() + "\n").collect(),
            Self::Message(text) if !text.starts_with("error: ") => format!("error: {text}"),
            other => other.line(),
        };
        if text.is_empty() || text.ends_with('\n') { text } else { text + "\n" }
    }

    /// One failure among several.
    fn line(&self) -> String {
        match self {
            Self::Status { status, .. } if status.is(&Reason::UNAUTHORIZED) => {
                format!("error: You must be logged in to the server ({})", status.message)
            }
            Self::Status { status, .. } if status.reason.0.is_empty() => format!("Error from server: {self}"),
            Self::Status { status, .. } => format!("Error from server ({}): {self}", status.reason.0),
            other => other.to_string(),
        }
    }
}

/// Returns how to call an installed kubectl, so that a shell can read it.
pub(crate) fn installed(kubeconfig: &Path) -> String {
    let path = kubeconfig.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@".contains(c);
    match path.chars().all(is_plain) {
        true => format!("kubectl --kubeconfig {path}"),
        false => format!("kubectl --kubeconfig '{}'", path.replace('\'', r"'\''")),
    }
}

fn render_invalid(status: &Status) -> String {
    let mut text = "The request is invalid".to_owned();
    let Some(details) = &status.details else {
        if !status.message.is_empty() {
            let _ = write!(text, ": {}", status.message);
        }
        return text;
    };
    if !details.kind.is_empty() || !details.name.is_empty() {
        text = format!("The {} {} is invalid", details.kind, rdd_api::field::quote(&details.name));
    } else if !status.message.is_empty() && details.causes.is_empty() {
        let _ = write!(text, ": {}", status.message);
    }
    let mut lines: Vec<String> = Vec::new();
    for cause in &details.causes {
        let line = format!("{}: {}", cause.field, cause.message);
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    match lines.as_slice() {
        [] => text,
        [one] => format!("{text}: {one}"),
        several => format!("{text}: \n{}", several.iter().map(|l| format!("* {l}\n")).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use rdd_api::{FieldError, GroupKind, GroupResource};
    use serde_json::json;

    use super::*;

    #[test]
    fn words() {
        let check = |failure: Failure, expect: &str| assert_eq!(failure.render(), expect);
        let missing = Status::not_found(&GroupResource::new("", "configmaps"), "c");
        check(missing.clone().into(), "Error from server (NotFound): configmaps \"c\" not found\n");
        check(
            Failure::from(missing.clone()).when("deleting", Some("f.yaml")),
            "Error from server (NotFound): error when deleting \"f.yaml\": configmaps \"c\" not found\n",
        );
        check(Failure::message("no"), "error: no\n");
        check(Status::unauthorized().into(), "error: You must be logged in to the server (Unauthorized)\n");
        check(
            Failure::Several(vec![missing.into(), Failure::message("b")]),
            "Error from server (NotFound): configmaps \"c\" not found\nb\n",
        );
        let kind = GroupKind { group: "e.com".into(), kind: "W".into() };
        let one = FieldError::invalid("spec.n", &json!(0), "too small");
        check(
            Status::invalid(&kind, "w", std::slice::from_ref(&one)).into(),
            "The W \"w\" is invalid: spec.n: Invalid value: 0: too small\n",
        );
        let two = FieldError::required("spec.m", "");
        check(
            Status::invalid(&kind, "w", &[one, two]).into(),
            "The W \"w\" is invalid: \n* spec.n: Invalid value: 0: too small\n* spec.m: Required value\n",
        );
        assert_eq!(Failure::ReaderGone.render(), "");
    }
}
