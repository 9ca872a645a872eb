//! Conditions: what a controller tells about an object, one line per type.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::time::format_time;

/// The longest message that a condition may carry, in characters (`metav1.Condition`).
pub const MESSAGE_LIMIT: usize = 32768;

const TRUNCATED: &str = "… (truncated)";

/// A `metav1.Condition`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// The type, as in `Running`. Unique in its list.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// When `status` last changed. Other fields may change without it.
    pub last_transition_time: String,
    /// A CamelCase word for programs.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// The generation of the object that this was seen for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// Sets a condition, keeping `lastTransitionTime` where the status stays the same. Messages over
/// [`MESSAGE_LIMIT`] are cut, and say so.
///
/// Returns whether anything changed.
pub fn set(
    conditions: &mut Vec<Condition>,
    kind: &str,
    status: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> bool {
    let message = truncate(message);
    match conditions.iter_mut().find(|c| c.kind == kind) {
        Some(present) => {
            let changed = present.status != status || present.reason != reason || present.message != message;
            if present.status != status {
                present.last_transition_time = format_time(now);
                present.status = status.to_owned();
            }
            present.reason = reason.to_owned();
            present.message = message;
            changed
        }
        None => {
            conditions.push(Condition {
                kind: kind.to_owned(),
                status: status.to_owned(),
                last_transition_time: format_time(now),
                reason: reason.to_owned(),
                message,
                observed_generation: None,
            });
            true
        }
    }
}

/// Returns the condition of a type.
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.kind == kind)
}

fn truncate(message: &str) -> String {
    if message.chars().count() <= MESSAGE_LIMIT {
        return message.to_owned();
    }
    let keep = MESSAGE_LIMIT - TRUNCATED.chars().count();
    let mut cut: String = message.chars().take(keep).collect();
    cut.push_str(TRUNCATED);
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let first: Timestamp = "2025-01-01T00:00:00Z".parse().expect("a time");
        let later: Timestamp = "2025-01-01T00:01:00Z".parse().expect("a time");
        let mut list = Vec::new();
        assert!(set(&mut list, "Running", "False", "Starting", "a", first));
        assert!(!set(&mut list, "Running", "False", "Starting", "a", later));
        assert!(set(&mut list, "Running", "False", "Stopped", "b", later));
        assert_eq!(list[0].last_transition_time, "2025-01-01T00:00:00Z");
        assert!(set(&mut list, "Running", "True", "Started", "c", later));
        assert_eq!(list[0].last_transition_time, "2025-01-01T00:01:00Z");
    }

    #[test]
    fn a_long_message_is_cut_and_says_so() {
        let mut list = Vec::new();
        set(&mut list, "Created", "False", "CreateFailed", &"ä".repeat(MESSAGE_LIMIT + 1), Timestamp::UNIX_EPOCH);
        assert_eq!(list[0].message.chars().count(), MESSAGE_LIMIT);
        assert!(list[0].message.ends_with(TRUNCATED));
    }
}
