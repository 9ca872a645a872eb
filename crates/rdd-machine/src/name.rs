//! The name of a machine.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest name, in bytes.
pub const NAME_LIMIT: usize = 76;

/// A machine's name: letters and digits, joined by single `.`, `_` or `-`.
///
/// The name is a directory name, part of a host name and part of process arguments, so a value of
/// this type is safe in all three places.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MachineName(String);

/// Why a text is no machine name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name is empty.
    #[error("instance name must not be empty")]
    Empty,
    /// The name is longer than [`NAME_LIMIT`].
    #[error("instance name {0:?} is longer than {NAME_LIMIT} bytes")]
    TooLong(String),
    /// The name has a character, or a run of separators, that is not allowed.
    #[error("instance name {0:?} must be letters and digits, joined by single '.', '_' or '-'")]
    Malformed(String),
    /// The name looks like a template file.
    #[error("instance name {0:?} must not end with .yml or .yaml")]
    Suffix(String),
}

impl MachineName {
    /// Checks a name (VM engine specification §3.3).
    pub fn new(name: impl Into<String>) -> Result<Self, NameError> {
        let name = name.into();
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > NAME_LIMIT {
            return Err(NameError::TooLong(name));
        }
        let words_are_good =
            name.split(['.', '_', '-']).all(|w| !w.is_empty() && w.bytes().all(|b| b.is_ascii_alphanumeric()));
        if !words_are_good {
            return Err(NameError::Malformed(name));
        }
        if name.ends_with(".yml") || name.ends_with(".yaml") {
            return Err(NameError::Suffix(name));
        }
        Ok(Self(name))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the guest's host name: `lima-NAME`, with `.` and `_` as `-`.
    pub fn hostname(&self) -> String {
        format!("lima-{}", self.0.replace(['.', '_'], "-"))
    }
}

impl fmt::Display for MachineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for MachineName {
    type Error = NameError;

    fn try_from(name: String) -> Result<Self, NameError> {
        Self::new(name)
    }
}

impl From<MachineName> for String {
    fn from(name: MachineName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "demo", "my-vm", "a.b_c-d", "0"] {
            assert!(MachineName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a--b", "a/b", "..", "a b", "x.yaml", "x.yml", "_config", ".tmp", &"a".repeat(77)] {
            assert!(MachineName::new(bad).is_err(), "{bad}");
        }
        assert_eq!(MachineName::new("a.b_c").expect("good").hostname(), "lima-a-b-c");
    }
}
