//! The readiness pipe: a child tells the parent that started it how far it is.
//!
//! The parent makes a [`channel`], hands the far end to the child with [`pass_to_child`], and
//! reads [`Message`]s until the child says that it is ready, says why it failed, or is gone (the
//! pipe ends, because the kernel closed it). The child finds its end with
//! [`ReadyReporter::from_env`].
//!
//! One message is one line of JSON: `{"version":"…"}`, `{"phase":"…"}`, `{"ready":true}`, `{"error":"…"}` or `"held"`.

use serde::{Deserialize, Serialize};

#[cfg(unix)]
#[path = "unix.rs"]
mod system;

pub use system::{ReadyReporter, ReadyWatcher, channel, pass_to_child};

/// What a child says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Message {
    /// It is this version of its program.
    Version(String),
    /// It works on this, and is not ready before it is done.
    Phase(String),
    /// It is ready (or, with `false`, no longer so).
    Ready(bool),
    /// It gives up, for this reason.
    Error(String),
    /// It gives up, because another process has the place that it wants.
    Held,
}

impl Message {
    /// Returns the message as one line, with its line feed.
    pub fn to_line(&self) -> String {
        let mut line = serde_json::to_string(self).expect("an enum of strings and bools has a JSON form");
        line.push('\n');
        line
    }

    /// Reads a line. What it cannot read is nothing: a newer child may say more than we know.
    pub fn from_line(line: &str) -> Option<Message> {
        serde_json::from_str(line.trim()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        for (message, line) in [
            (Message::Version("v1".into()), "{\"version\":\"v1\"}\n"),
            (Message::Phase("store".into()), "{\"phase\":\"store\"}\n"),
            (Message::Ready(true), "{\"ready\":true}\n"),
            (Message::Error("no\nroom".into()), "{\"error\":\"no\\nroom\"}\n"),
            (Message::Held, "\"held\"\n"),
        ] {
            assert_eq!(message.to_line(), line);
            assert_eq!(Message::from_line(line), Some(message));
        }
        assert_eq!(Message::from_line("{\"future\":1}"), None);
    }
}
