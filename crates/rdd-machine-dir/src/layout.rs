//! Where the files of a machine lie. Pure: no file is touched here.

use std::path::{Path, PathBuf};

use rdd_machine::MachineName;

/// The longest path of a Unix socket, with its final zero byte.
#[cfg(target_os = "macos")]
pub const SOCKET_PATH_LIMIT: usize = 104;
/// The longest path of a Unix socket, with its final zero byte.
#[cfg(not(target_os = "macos"))]
pub const SOCKET_PATH_LIMIT: usize = 108;

/// The longest socket name in a machine's directory: ssh adds 16 characters to its control socket
/// while it makes it.
const LONGEST_SOCKET: &str = "ssh.sock.1234567890123456";

/// The directory of one machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MachineDir {
    name: MachineName,
    path: PathBuf,
}

/// The machine's directory leaves no room for the names of its sockets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "instance name {name:?} too long: {socket:?} must be less than UNIX_PATH_MAX={limit} characters, but is {actual}"
)]
pub struct PathTooLong {
    /// The machine's name.
    pub name: String,
    /// The longest socket path.
    pub socket: PathBuf,
    /// The limit, exclusive.
    pub limit: usize,
    /// The length of the path in bytes.
    pub actual: usize,
}

macro_rules! files {
    ($($(#[doc = $doc:literal])+ $getter:ident = $file:literal;)*) => {
        impl MachineDir {
            $($(#[doc = $doc])+ pub fn $getter(&self) -> PathBuf { self.path.join($file) })*
        }
    };
}

files! {
    /// Returns `lima.yaml`: the template, byte for byte.
    lima_yaml = "lima.yaml";
    /// Returns `lima-version`: the Lima version that the directory's layout follows.
    lima_version = "lima-version";
    /// Returns `cloud-config.yaml`: the user-data without boot script and mounts, for people.
    cloud_config = "cloud-config.yaml";
    /// Returns `.preparing`: there until the machine is complete for the first time.
    preparing = ".preparing";
    /// Returns `image`: the main disk's image before it becomes `disk` or `iso`.
    image = "image";
    /// Returns `disk`: the main disk.
    disk = "disk";
    /// Returns `disk.format`: the format of the main disk, decided once.
    disk_format = "disk.format";
    /// Returns `iso`: the installer or live CD.
    iso = "iso";
    /// Returns `basedisk`: legacy layouts and the WSL2 root file system.
    basedisk = "basedisk";
    /// Returns `diffdisk`: legacy layouts.
    diffdisk = "diffdisk";
    /// Returns `kernel`: for direct boot.
    kernel = "kernel";
    /// Returns `kernel.cmdline`: for direct boot.
    kernel_cmdline = "kernel.cmdline";
    /// Returns `initrd`: for direct boot.
    initrd = "initrd";
    /// Returns `cidata.iso`: the NoCloud seed, made at each start.
    cidata_iso = "cidata.iso";
    /// Returns `ha.pid`: the hostagent's process id, for people.
    ha_pid = "ha.pid";
    /// Returns `ha.sock`: the hostagent's HTTP API.
    ha_sock = "ha.sock";
    /// Returns `ha.lock`: held by the hostagent while it lives.
    ha_lock = "ha.lock";
    /// Returns `driver.lock`: held by the VM process while it lives.
    driver_lock = "driver.lock";
    /// Returns `ha.stdout.log`: the hostagent's events.
    ha_stdout_log = "ha.stdout.log";
    /// Returns `ha.stderr.log`: the hostagent's log.
    ha_stderr_log = "ha.stderr.log";
    /// Returns `qmp.sock`: QEMU's control socket.
    qmp_sock = "qmp.sock";
    /// Returns `serial.log`: the first serial port.
    serial_log = "serial.log";
    /// Returns `serial.sock`: the first serial port.
    serial_sock = "serial.sock";
    /// Returns `serialp.log`: the PCI serial port (ARM).
    serialp_log = "serialp.log";
    /// Returns `serialp.sock`: the PCI serial port (ARM).
    serialp_sock = "serialp.sock";
    /// Returns `serialv.log`: the virtio console.
    serialv_log = "serialv.log";
    /// Returns `serialv.sock`: the virtio console.
    serialv_sock = "serialv.sock";
    /// Returns `ssh.config`: how ssh reaches the guest.
    ssh_config = "ssh.config";
    /// Returns `ssh.sock`: OpenSSH's control socket, if a person uses one.
    ssh_sock = "ssh.sock";
    /// Returns `ga.sock`: the guest agent.
    ga_sock = "ga.sock";
    /// Returns `sock`: the directory of forwarded sockets without a path of their own.
    sock_dir = "sock";
    /// Returns `protected`: while it is there, the machine is not removed.
    protected = "protected";
    /// Returns `boot-id`: the token of the present boot, by which a later hostagent tells that the guest it finds is the one it knows.
    boot_id = "boot-id";
}

impl MachineDir {
    /// Returns the directory of a machine.
    pub fn new(lima_home: &Path, name: &MachineName) -> Self {
        Self { name: name.clone(), path: lima_home.join(name.as_str()) }
    }

    /// Returns the same layout at another path. For the time before a new directory has its name.
    pub(crate) fn at(path: PathBuf, name: &MachineName) -> Self {
        Self { name: name.clone(), path }
    }

    /// Returns the machine's name.
    pub fn name(&self) -> &MachineName {
        &self.name
    }

    /// Returns the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns `<vmType>.pid`: the VM's process id, for people and for programs that expect it.
    pub fn driver_pid(&self, vm_type: &str) -> PathBuf {
        self.path.join(format!("{vm_type}.pid"))
    }

    /// Returns another file of the machine. For drivers, which have files of their own.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Checks that the names of the machine's sockets fit into what the system allows.
    pub fn check_length(&self) -> Result<(), PathTooLong> {
        let socket = self.path.join(LONGEST_SOCKET);
        let actual = socket.as_os_str().len();
        if actual < SOCKET_PATH_LIMIT {
            return Ok(());
        }
        Err(PathTooLong { name: self.name.to_string(), socket, limit: SOCKET_PATH_LIMIT, actual })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_home_is_refused_with_the_figures() {
        let name = MachineName::new("demo").expect("a name");
        assert_eq!(MachineDir::new(Path::new("/home/me/.rd2/lima"), &name).check_length(), Ok(()));
        let home = PathBuf::from(format!("/{}", "h".repeat(90)));
        let error = MachineDir::new(&home, &name).check_length().expect_err("too long");
        assert!(error.to_string().starts_with("instance name \"demo\" too long: "), "{error}");
    }

    #[test]
    fn files_lie_in_the_directory() {
        let dir = MachineDir::new(Path::new("/l"), &MachineName::new("a").expect("a name"));
        assert_eq!(dir.driver_pid("qemu"), Path::new("/l/a/qemu.pid"));
        assert_eq!(dir.boot_id(), Path::new("/l/a/boot-id"));
    }
}
