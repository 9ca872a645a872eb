//! Which build this is.

/// The version: what `git describe` said when the release was built.
pub(crate) const VERSION: &str = match option_env!("RDD_BUILD_VERSION") {
    Some(version) => version,
    None => "v0.0.0-dev",
};

/// The Kubernetes release whose API this build speaks.
const KUBERNETES: &str = "v1.35.4";

/// Returns what the API server reports as its version.
pub(crate) fn git_version() -> String {
    format!("{KUBERNETES}+rdd-{VERSION}")
}

/// Returns what `--version=VALUE` prints.
pub(crate) fn describe(value: &str) -> String {
    match value {
        "" | "true" => VERSION.to_owned(),
        "raw" => {
            let architecture = match std::env::consts::ARCH {
                "x86_64" => "amd64",
                "aarch64" => "arm64",
                other => other,
            };
            let os = if cfg!(target_os = "macos") { "darwin" } else { std::env::consts::OS };
            let commit = option_env!("RDD_BUILD_COMMIT").unwrap_or("unknown");
            let date = option_env!("RDD_BUILD_DATE").unwrap_or("unknown");
            format!(
                "Version: {VERSION}\nGitCommit: {commit}\nBuildDate: {date}\nGoVersion: none\n\
                 Compiler: rustc\nPlatform: {os}/{architecture}"
            )
        }
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(describe(""), VERSION);
        assert_eq!(describe("true"), VERSION);
        assert_eq!(describe("other"), "other");
        let raw = describe("raw");
        let keys: Vec<_> = raw.lines().map(|line| line.split_once(": ").expect("a value").0).collect();
        assert_eq!(keys, ["Version", "GitCommit", "BuildDate", "GoVersion", "Compiler", "Platform"]);
    }
}
