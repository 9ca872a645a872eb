//! What a template's defaults depend on: facts about the host, as a value.

use std::path::{Path, PathBuf};

use rdd_machine::config::Arch;

/// The host's operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostOs {
    /// Linux.
    Linux,
    /// macOS.
    MacOs,
    /// Windows.
    Windows,
}

/// Facts about the host and about this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFacts {
    /// The operating system.
    pub os: HostOs,
    /// The processor architecture.
    pub arch: Arch,
    /// Processors that this program may use.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory: u64,
    /// The login name of the user who runs this program.
    pub user: String,
    /// Their user id.
    pub uid: u32,
    /// Their full name.
    pub gecos: String,
    /// Their home directory.
    pub home: PathBuf,
    /// The host's time zone, as in `Europe/Berlin`; empty if it cannot be told.
    pub timezone: String,
    /// An identifier of the host that stays; part of the guests' MAC addresses.
    pub machine_id: String,
    /// The directory that templates see as `GlobalTempDir`.
    pub global_temp_dir: PathBuf,
    /// The directory that templates see as `TempDir`.
    pub temp_dir: PathBuf,
    /// The names of the registered drivers; `vmType` must be one of them.
    pub drivers: Vec<String>,
}

impl HostFacts {
    /// Reads the facts of this host. What cannot be told gets a harmless value.
    pub fn detect(drivers: &[&str]) -> Self {
        let os = if cfg!(windows) {
            HostOs::Windows
        } else if cfg!(target_os = "macos") {
            HostOs::MacOs
        } else {
            HostOs::Linux
        };
        let account = account();
        let temp_dir = std::env::temp_dir();
        Self {
            os,
            arch: Arch::native(),
            cpus: std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX)),
            memory: memory().unwrap_or(8 << 30),
            user: account.user,
            uid: account.uid,
            gecos: account.gecos,
            home: account.home,
            timezone: timezone().unwrap_or_default(),
            machine_id: machine_id(),
            global_temp_dir: if cfg!(windows) { temp_dir.clone() } else { "/tmp".into() },
            temp_dir,
            drivers: drivers.iter().map(|driver| (*driver).to_owned()).collect(),
        }
    }

    /// Returns the longest path of a Unix socket, in bytes.
    pub(crate) fn socket_path_limit(&self) -> usize {
        // The length of sun_path, which needs room for a NUL.
        match self.os {
            HostOs::MacOs => 104,
            HostOs::Linux | HostOs::Windows => 108,
        }
    }

    /// Returns a path with a leading `~` replaced by the home directory.
    pub(crate) fn expand(&self, path: &str) -> PathBuf {
        match path.strip_prefix('~') {
            Some("") => self.home.clone(),
            Some(rest) if rest.starts_with('/') => self.home.join(rest.trim_start_matches('/')),
            _ => PathBuf::from(path),
        }
    }
}

struct Account {
    user: String,
    uid: u32,
    gecos: String,
    home: PathBuf,
}

#[cfg(unix)]
fn account() -> Account {
    let uid = rustix::process::getuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = passwd.lines().find(|line| line.split(':').nth(2) == Some(&uid.to_string())).unwrap_or_default();
    let mut fields = line.split(':');
    let mut field = |n: usize| fields.nth(n).filter(|text| !text.is_empty()).map(str::to_owned);
    let (user, gecos, home) = (field(0), field(3), field(0));
    Account {
        user: user.or_else(|| std::env::var("USER").ok()).unwrap_or_else(|| "lima".into()),
        uid,
        // The first of the comma-separated parts is the name.
        gecos: gecos.and_then(|text| text.split(',').next().map(str::to_owned)).unwrap_or_default(),
        home: std::env::home_dir().or(home.map(PathBuf::from)).unwrap_or_else(|| "/".into()),
    }
}

#[cfg(not(unix))]
fn account() -> Account {
    // Windows has no numeric user id; Lima uses 1000.
    let user = std::env::var("USERNAME").unwrap_or_else(|_| "lima".into());
    Account { gecos: user.clone(), user, uid: 1000, home: std::env::home_dir().unwrap_or_default() }
}

fn memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

fn timezone() -> Option<String> {
    let zone = |path: &Path| {
        let text = path.to_str()?.to_owned();
        let at = text.find("zoneinfo/")?;
        Some(text[at + "zoneinfo/".len()..].to_owned())
    };
    let linked = std::fs::read_link("/etc/localtime").ok().and_then(|target| zone(&target));
    let named = || std::fs::read_to_string("/etc/timezone").ok().map(|text| text.trim().to_owned());
    linked.or_else(named).filter(|name| !name.is_empty())
}

fn machine_id() -> String {
    let id = ["/etc/machine-id", "/var/lib/dbus/machine-id"].iter().find_map(|path| std::fs::read_to_string(path).ok());
    id.map(|text| text.trim().to_owned()).unwrap_or_default()
}
