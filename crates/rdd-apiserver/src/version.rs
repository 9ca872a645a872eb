//! `/version`: what this server says it is.

use serde_json::{Value, json};

/// The build that `/version` tells about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionInfo {
    /// As in `v1.33.0+rdd-v0.1.0`: the Kubernetes version whose behaviour is served, and the build.
    pub git_version: String,
    /// The commit; may be empty.
    pub git_commit: String,
    /// The build's date, RFC 3339; may be empty.
    pub build_date: String,
}

impl VersionInfo {
    /// Makes the information from a `gitVersion`.
    pub fn new(git_version: impl Into<String>) -> Self {
        Self { git_version: git_version.into(), git_commit: String::new(), build_date: String::new() }
    }

    /// Returns the wire form. `major` and `minor` are pure integers, read off `git_version`.
    pub(crate) fn to_json(&self) -> Value {
        let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
        let mut parts = self.git_version.trim_start_matches('v').split('.').map(digits);
        let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        json!({
            "major": major, "minor": minor, "gitVersion": self.git_version, "gitCommit": self.git_commit,
            "gitTreeState": "clean", "buildDate": self.build_date, "goVersion": "none (rust)", "compiler": "rustc",
            "platform": format!("{}/{}", std::env::consts::OS, go_architecture(std::env::consts::ARCH)),
        })
    }
}

impl Default for VersionInfo {
    fn default() -> Self {
        Self::new("v1.33.0")
    }
}

fn go_architecture(rust: &str) -> &str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn major_and_minor_are_integers() {
        let json = VersionInfo::new("v1.33.0+rdd-v0.1.0-3-gabc").to_json();
        assert_eq!((&json["major"], &json["minor"]), (&json!("1"), &json!("33")));
    }
}
