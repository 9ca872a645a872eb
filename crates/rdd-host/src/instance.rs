//! An instance: one control plane, with its name, its port offset and its places on disk.
//!
//! An [`Instance`] is made once, at the edge of a process, and handed down. Nothing here touches
//! the disk. The operating system is a value ([`Os`]), so that the paths of all three can be
//! tested on each.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::environment;

/// The suffix when none is given.
pub const DEFAULT_SUFFIX: &str = "2";

/// The room a Unix socket's name needs below the short directory: that of a VM called `rd`, which
/// every instance must be able to have.
const LONGEST_SOCKET: &str = "/lima/rd/serialv.sock";

/// An operating system family, as far as paths go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Os {
    /// Linux, and other Unix systems that follow its habits.
    Linux,
    /// macOS.
    Mac,
    /// Windows.
    Windows,
}

impl Os {
    /// Returns the one this program was built for.
    pub const fn current() -> Os {
        if cfg!(windows) {
            Os::Windows
        } else if cfg!(target_os = "macos") {
            Os::Mac
        } else {
            Os::Linux
        }
    }

    /// Returns how long a Unix socket's path may be, in bytes without the final zero.
    pub const fn socket_path_limit(self) -> usize {
        match self {
            Os::Mac => 103,
            Os::Linux | Os::Windows => 107,
        }
    }
}

/// Why there is no such instance.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstanceError {
    /// The suffix has a character that is not allowed.
    #[error(
        "invalid instance name {suffix:?}: {character:?} is not allowed; \
         use only letters, digits, '.', '_' and '-'"
    )]
    Character {
        /// The suffix.
        suffix: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// The suffix means a directory.
    #[error("invalid instance name {suffix:?}: {reason}")]
    Reserved {
        /// The suffix.
        suffix: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// The suffix is no Unicode text.
    #[error("invalid instance name {suffix:?}: it is not Unicode text")]
    NotUnicode {
        /// The value of the variable.
        suffix: OsString,
    },
    /// Socket paths would be too long.
    #[error(
        "invalid instance name {suffix:?}: too long; sockets below {short_dir} need {needed} bytes \
         of path, the limit is {limit}"
    )]
    TooLong {
        /// The suffix.
        suffix: String,
        /// The short directory it leads to.
        short_dir: PathBuf,
        /// The bytes needed.
        needed: usize,
        /// The bytes there are.
        limit: usize,
    },
    /// There is no home directory.
    #[error("the home directory is unknown: {variable} is not set to an absolute path")]
    NoHome {
        /// The variable that should name it.
        variable: &'static str,
    },
}

/// The places of an instance. All are absolute, except `log_dir` when it was given otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The service's directory.
    pub dir: PathBuf,
    /// The service's log files.
    pub log_dir: PathBuf,
    /// A directory with a short path, for sockets.
    pub short_dir: PathBuf,
    /// The machine room's home.
    pub lima_home: PathBuf,
    /// Certificates and keys.
    pub tls_dir: PathBuf,
    /// The kubeconfig.
    pub config: PathBuf,
    /// The kubeconfig of the Kubernetes inside the VM.
    pub k3s_config: PathBuf,
    /// The service's process id, for people. Nothing of ours trusts it.
    pub pid_file: PathBuf,
    /// The saved flags; the instance exists if this file does.
    pub args_file: PathBuf,
    /// The Docker endpoint.
    pub docker_socket: PathBuf,
}

impl Paths {
    /// Returns the database file.
    pub fn db(&self) -> PathBuf {
        self.dir.join("db").join("state.db")
    }

    /// Returns the file whose lock the service holds for its whole life.
    pub fn lock(&self) -> PathBuf {
        self.dir.join("rdd.lock")
    }

    /// Returns the service's control socket.
    pub fn socket(&self) -> PathBuf {
        self.short_dir.join("rdd.sock")
    }

    /// Returns the service's log of standard output.
    pub fn stdout_log(&self) -> PathBuf {
        self.log_dir.join("rdd.stdout.log")
    }

    /// Returns the service's log of standard error.
    pub fn stderr_log(&self) -> PathBuf {
        self.log_dir.join("rdd.stderr.log")
    }

    /// Returns the paths that people may ask for, sorted by key.
    pub fn table(&self) -> [(&'static str, &Path); 10] {
        [
            ("args_file", &self.args_file),
            ("config", &self.config),
            ("dir", &self.dir),
            ("docker_socket", &self.docker_socket),
            ("k3s_config", &self.k3s_config),
            ("lima_home", &self.lima_home),
            ("log_dir", &self.log_dir),
            ("pid_file", &self.pid_file),
            ("short_dir", &self.short_dir),
            ("tls_dir", &self.tls_dir),
        ]
    }
}

/// One control plane: who it is and where its files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    suffix: String,
    name: String,
    paths: Paths,
    log_dir_is_given: bool,
}

impl Instance {
    /// Makes the instance with this suffix; the empty suffix means [`DEFAULT_SUFFIX`].
    ///
    /// `log_dir` replaces the usual log directory as it is.
    pub fn new(suffix: &str, home: &Path, os: Os, log_dir: Option<PathBuf>) -> Result<Instance, InstanceError> {
        let suffix = if suffix.is_empty() { DEFAULT_SUFFIX } else { suffix };
        check_suffix(suffix, os)?;
        let name = format!("rancher-desktop-{suffix}");
        let log_dir_is_given = log_dir.is_some();
        let paths = make_paths(suffix, &name, home, os, log_dir);
        let needed = paths.short_dir.as_os_str().len() + LONGEST_SOCKET.len();
        if needed > os.socket_path_limit() {
            return Err(InstanceError::TooLong {
                suffix: suffix.to_owned(),
                short_dir: paths.short_dir,
                needed,
                limit: os.socket_path_limit(),
            });
        }
        Ok(Instance { suffix: suffix.to_owned(), name, paths, log_dir_is_given })
    }

    /// Makes the instance that the environment names.
    pub fn from_env() -> Result<Instance, InstanceError> {
        Instance::from_env_or(None)
    }

    /// Makes the instance with this suffix or, if there is none, the one that the environment names.
    /// Everything else comes from the environment.
    pub fn from_env_or(suffix: Option<OsString>) -> Result<Instance, InstanceError> {
        let suffix = suffix.or_else(|| environment::get(environment::INSTANCE));
        let suffix = match suffix {
            Some(suffix) => suffix.into_string().map_err(|suffix| InstanceError::NotUnicode { suffix })?,
            None => String::new(),
        };
        let home = environment::get(environment::HOME).map(PathBuf::from).filter(|home| home.is_absolute());
        let home = home.ok_or(InstanceError::NoHome { variable: environment::HOME })?;
        Instance::new(&suffix, &home, Os::current(), environment::get(environment::LOG_DIR).map(PathBuf::from))
    }

    /// Returns the name: `rancher-desktop-` and the suffix.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the suffix.
    pub fn suffix(&self) -> &str {
        &self.suffix
    }

    /// Returns the offset of the instance's preferred ports: the suffix if it is a number from 1 to
    /// 99, else 100 to 199. Two instances may share one.
    pub fn index(&self) -> u16 {
        // Go's Atoi, whose rule this is, also takes a leading plus sign; '+' is not allowed here.
        if let Ok(number @ 1..=99) = self.suffix.parse::<u16>() {
            return number;
        }
        let sum: u32 = self.suffix.chars().map(u32::from).fold(0, u32::wrapping_add);
        100 + u16::try_from(sum % 100).expect("a remainder by 100 fits")
    }

    /// Returns whether the log directory was named by the user, who may keep other things there.
    pub fn log_dir_is_given(&self) -> bool {
        self.log_dir_is_given
    }

    /// Returns the places on disk.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }
}

fn check_suffix(suffix: &str, os: Os) -> Result<(), InstanceError> {
    let is_allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
    if let Some(character) = suffix.chars().find(|c| !is_allowed(*c)) {
        return Err(InstanceError::Character { suffix: suffix.to_owned(), character });
    }
    let reserved = |reason| Err(InstanceError::Reserved { suffix: suffix.to_owned(), reason });
    if suffix == "." || suffix == ".." {
        return reserved("'.' and '..' mean directories");
    }
    if os == Os::Windows && suffix.ends_with('.') {
        return reserved("Windows does not allow a '.' at the end");
    }
    Ok(())
}

fn make_paths(suffix: &str, name: &str, home: &Path, os: Os, log_dir: Option<PathBuf>) -> Paths {
    let below = |base: &Path, parts: &[&str]| join(os, base, parts);
    let short_dir = below(home, &[&format!(".rd{suffix}")]);
    let (dir, usual_log_dir) = match os {
        Os::Linux => (below(home, &[".local", "share", name]), below(home, &[".local", "state", name])),
        Os::Mac => (below(home, &["Library", "Application Support", name]), below(home, &["Library", "Logs", name])),
        Os::Windows => {
            (below(home, &["AppData", "Local", name]), below(home, &["AppData", "Local", &format!("{name}-logs")]))
        }
    };
    let docker_socket = match os {
        Os::Windows => PathBuf::from(r"\\.\pipe\docker_engine"),
        Os::Linux | Os::Mac => below(&short_dir, &["docker.sock"]),
    };
    Paths {
        log_dir: log_dir.unwrap_or(usual_log_dir),
        lima_home: below(&short_dir, &["lima"]),
        tls_dir: below(&dir, &["tls"]),
        config: below(&dir, &["config.yaml"]),
        k3s_config: below(&dir, &["k3s.yaml"]),
        pid_file: below(&dir, &["rdd.pid"]),
        args_file: below(&dir, &["args.json"]),
        docker_socket,
        dir,
        short_dir,
    }
}

/// Joins with the separator of `os`, which need not be the one we run on.
fn join(os: Os, base: &Path, parts: &[&str]) -> PathBuf {
    let separator = if os == Os::Windows { r"\" } else { "/" };
    let mut path = base.as_os_str().to_owned();
    for part in parts {
        path.push(separator);
        path.push(part);
    }
    PathBuf::from(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_linux(suffix: &str) -> Result<Instance, InstanceError> {
        Instance::new(suffix, Path::new("/home/u"), Os::Linux, None)
    }

    #[track_caller]
    fn check_paths(os: Os, home: &str, expect: &[(&str, &str)]) {
        let instance = Instance::new("cc", Path::new(home), os, None).expect("a good name");
        let table = instance.paths().table();
        let seen: Vec<_> = table.iter().map(|(key, path)| (*key, path.to_str().expect("text"))).collect();
        assert_eq!(seen, expect);
    }

    #[test]
    fn paths_on_linux() {
        check_paths(
            Os::Linux,
            "/home/u",
            &[
                ("args_file", "/home/u/.local/share/rancher-desktop-cc/args.json"),
                ("config", "/home/u/.local/share/rancher-desktop-cc/config.yaml"),
                ("dir", "/home/u/.local/share/rancher-desktop-cc"),
                ("docker_socket", "/home/u/.rdcc/docker.sock"),
                ("k3s_config", "/home/u/.local/share/rancher-desktop-cc/k3s.yaml"),
                ("lima_home", "/home/u/.rdcc/lima"),
                ("log_dir", "/home/u/.local/state/rancher-desktop-cc"),
                ("pid_file", "/home/u/.local/share/rancher-desktop-cc/rdd.pid"),
                ("short_dir", "/home/u/.rdcc"),
                ("tls_dir", "/home/u/.local/share/rancher-desktop-cc/tls"),
            ],
        );
    }

    #[test]
    fn paths_on_mac() {
        check_paths(
            Os::Mac,
            "/Users/u",
            &[
                ("args_file", "/Users/u/Library/Application Support/rancher-desktop-cc/args.json"),
                ("config", "/Users/u/Library/Application Support/rancher-desktop-cc/config.yaml"),
                ("dir", "/Users/u/Library/Application Support/rancher-desktop-cc"),
                ("docker_socket", "/Users/u/.rdcc/docker.sock"),
                ("k3s_config", "/Users/u/Library/Application Support/rancher-desktop-cc/k3s.yaml"),
                ("lima_home", "/Users/u/.rdcc/lima"),
                ("log_dir", "/Users/u/Library/Logs/rancher-desktop-cc"),
                ("pid_file", "/Users/u/Library/Application Support/rancher-desktop-cc/rdd.pid"),
                ("short_dir", "/Users/u/.rdcc"),
                ("tls_dir", "/Users/u/Library/Application Support/rancher-desktop-cc/tls"),
            ],
        );
    }

    #[test]
    fn paths_on_windows() {
        check_paths(
            Os::Windows,
            r"C:\Users\u",
            &[
                ("args_file", r"C:\Users\u\AppData\Local\rancher-desktop-cc\args.json"),
                ("config", r"C:\Users\u\AppData\Local\rancher-desktop-cc\config.yaml"),
                ("dir", r"C:\Users\u\AppData\Local\rancher-desktop-cc"),
                ("docker_socket", r"\\.\pipe\docker_engine"),
                ("k3s_config", r"C:\Users\u\AppData\Local\rancher-desktop-cc\k3s.yaml"),
                ("lima_home", r"C:\Users\u\.rdcc\lima"),
                ("log_dir", r"C:\Users\u\AppData\Local\rancher-desktop-cc-logs"),
                ("pid_file", r"C:\Users\u\AppData\Local\rancher-desktop-cc\rdd.pid"),
                ("short_dir", r"C:\Users\u\.rdcc"),
                ("tls_dir", r"C:\Users\u\AppData\Local\rancher-desktop-cc\tls"),
            ],
        );
    }

    #[test]
    fn the_log_directory_can_be_given() {
        let given = Instance::new("", Path::new("/home/u"), Os::Linux, Some("logs".into())).expect("a good name");
        assert_eq!(given.paths().log_dir, Path::new("logs"));
        assert_eq!(given.name(), "rancher-desktop-2");
    }

    #[test]
    fn indexes() {
        for (suffix, index) in
            [("", 2), ("2", 2), ("42", 42), ("99", 99), ("cc", 198), ("0", 148), ("100", 145), ("007", 7)]
        {
            assert_eq!(on_linux(suffix).expect("a good name").index(), index, "{suffix:?}");
        }
    }

    #[test]
    fn names() {
        for good in ["2", "test-1", "a.b", "a_b", ".a", "-a", "...", "über"] {
            on_linux(good).expect(good);
        }
        for (bad, message) in [
            (".", r#"invalid instance name ".": '.' and '..' mean directories"#),
            ("..", r#"invalid instance name "..": '.' and '..' mean directories"#),
            ("a/b", r#"invalid instance name "a/b": '/' is not allowed; use only letters, digits, '.', '_' and '-'"#),
            ("a b", r#"invalid instance name "a b": ' ' is not allowed; use only letters, digits, '.', '_' and '-'"#),
            (
                r"a\b",
                r#"invalid instance name "a\\b": '\\' is not allowed; use only letters, digits, '.', '_' and '-'"#,
            ),
        ] {
            assert_eq!(on_linux(bad).expect_err(bad).to_string(), message);
        }
        assert!(Instance::new("a.", Path::new(r"C:\u"), Os::Windows, None).is_err());
    }

    #[test]
    fn the_socket_path_budget() {
        // "/home/u/.rd" is 11 bytes, the longest socket 21.
        on_linux(&"a".repeat(107 - 32)).expect("just fits");
        let error = on_linux(&"a".repeat(107 - 31)).expect_err("one too long").to_string();
        assert!(error.ends_with("need 108 bytes of path, the limit is 107"), "{error}");
    }
}
