//! Watching one object or a collection until something holds.

use rdd_api::Status;
use serde_json::Value;

use crate::failure::Failure;
use crate::session::{Call, Lines, Session};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Added,
    Modified,
    Deleted,
    Bookmark,
}

impl Change {
    /// Returns the word on the wire.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
            Self::Bookmark => "BOOKMARK",
        }
    }
}

/// The events of a watch.
pub(crate) struct Watch(Lines);

impl Watch {
    /// Begins to watch; `call` is the list to follow.
    pub(crate) async fn start(session: &Session, call: Call) -> Result<Self, Failure> {
        Ok(Self(session.lines(&call.with("watch", "true")).await?))
    }

    /// Returns the next event; nothing when the server ends the watch.
    pub(crate) async fn next(&mut self) -> Result<Option<(Change, Value)>, Failure> {
        let Some(line) = self.0.next().await else { return Ok(None) };
        let mut event: Value = serde_json::from_slice(&line)
            .map_err(|error| Failure::message(format!("unable to decode an event from the watch stream: {error}")))?;
        let object = event["object"].take();
        let change = match event["type"].as_str() {
            Some("ADDED") => Change::Added,
            Some("MODIFIED") => Change::Modified,
            Some("DELETED") => Change::Deleted,
            Some("BOOKMARK") => Change::Bookmark,
            _ => {
                return Err(Status::from_json(&object)
                    .map_or_else(|| Failure::message(format!("unexpected watch event: {event}")), Failure::from));
            }
        };
        Ok(Some((change, object)))
    }
}
