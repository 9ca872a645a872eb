//! What a boot is made from: the machine's configuration, the user's keys, the seed, and the files
//! that tell others how to reach the guest.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rdd_host::files;
use rdd_link::{KeyPair, SshConfig, keys, ssh_config};
use rdd_machine::{MachineConfig, MachineName};
use rdd_machine_dir::MachineDir;
use rdd_seed::SeedInputs;
use rdd_template::HostFacts;

use crate::failure::HostagentError;

/// The identifier of the machine, for its whole life.
const INSTANCE_ID_FILE: &str = "instance-id";

/// Reads what the machine is to be.
pub(crate) fn config(dir: &MachineDir, name: &MachineName, host: &HostFacts) -> Result<MachineConfig, HostagentError> {
    let path = dir.lima_yaml();
    let text = std::fs::read_to_string(&path).map_err(|source| file("read", &path, source))?;
    let template = rdd_template::parse(&text)?;
    for warning in template.warnings() {
        tracing::warn!("{warning}");
    }
    Ok(template.resolve(name, dir.path(), host)?)
}

/// Removes what earlier hostagents left half-written. Only of our own files: the engine may be writing
/// others at this moment.
pub(crate) fn sweep(dir: &MachineDir) {
    let ours = [dir.cidata_iso(), dir.cloud_config(), dir.boot_id(), dir.ssh_config(), dir.file(INSTANCE_ID_FILE)];
    for path in ours {
        if let Err(error) = files::sweep_temporaries_of(&path) {
            tracing::warn!(%error, path = %path.display(), "cannot sweep leftovers");
        }
    }
}

/// Returns the user's key pair, which is made if it is missing.
pub(crate) fn keys(lima_home: &Path) -> Result<KeyPair, HostagentError> {
    Ok(keys::ensure(&lima_home.join("_config"))?)
}

/// Makes a token that no boot had before.
pub(crate) fn new_boot_token() -> String {
    format!("iid-{}", uuid::Uuid::new_v4().simple())
}

/// Returns the token of the boot that runs; `None` if the file is gone, as after a manual clean-up.
pub(crate) fn boot_token(dir: &MachineDir) -> Option<String> {
    let text = std::fs::read_to_string(dir.boot_id()).ok()?;
    let token = text.trim();
    // It becomes part of a command in the guest.
    let is_good = !token.is_empty() && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    is_good.then(|| token.to_owned())
}

/// Writes the seed and the token of the boot that is about to begin.
pub(crate) fn write_seed(
    dir: &MachineDir,
    config: &MachineConfig,
    host: &HostFacts,
    keys: &KeyPair,
    token: &str,
    debug: bool,
) -> Result<(), HostagentError> {
    let mut ssh_public_keys = vec![keys.public_text().to_owned()];
    if config.ssh.load_dot_ssh_pub_keys {
        ssh_public_keys.extend(own_public_keys(&host.home).into_iter().map(|(_, text)| text));
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let inputs = SeedInputs {
        ssh_public_keys,
        instance_id: instance_id(dir)?,
        boot_token: token.to_owned(),
        proxy_env: proxy_variables(),
        host_dns: name_servers(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default()),
        host_home: Some(host.home.clone()),
        now,
        debug,
    };
    let seed = rdd_seed::build(config, &inputs);
    let write = |path: PathBuf, bytes: &[u8], mode| {
        files::write_whole(&path, bytes, mode).map_err(|source| file("write", &path, source))
    };
    write(dir.cidata_iso(), &rdd_seed::iso9660(&seed), 0o600)?;
    write(dir.cloud_config(), rdd_seed::cloud_config(config, &inputs).as_bytes(), 0o444)?;
    write(dir.boot_id(), format!("{token}\n").as_bytes(), 0o644)
}

/// Writes how OpenSSH reaches the guest.
pub(crate) fn write_ssh_config(
    dir: &MachineDir,
    config: &MachineConfig,
    host: &HostFacts,
    keys: &KeyPair,
    port: u16,
) -> Result<(), HostagentError> {
    let mut identity_files = vec![keys.private_path().to_owned()];
    if config.ssh.load_dot_ssh_pub_keys {
        identity_files.extend(own_public_keys(&host.home).into_iter().map(|(path, _)| path));
    }
    let text = SshConfig {
        host: config.name.hostname(),
        user: config.user.name.clone(),
        port,
        identity_files,
        control_path: dir.ssh_sock(),
        forward_agent: config.ssh.forward_agent,
    };
    text.write(&dir.ssh_config()).map_err(|source| file("write", &dir.ssh_config(), source))
}

/// Returns the port of the machine's last boot.
pub(crate) fn last_port(dir: &MachineDir) -> Option<u16> {
    ssh_config::port_of(&std::fs::read_to_string(dir.ssh_config()).ok()?)
}

/// The user's own keys of which both halves are there: private path, public text.
fn own_public_keys(home: &Path) -> Vec<(PathBuf, String)> {
    let Ok(entries) = std::fs::read_dir(home.join(".ssh")) else { return Vec::new() };
    let mut keys: Vec<_> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let private = path.with_extension("");
            if path.extension()? != "pub" || !private.is_file() {
                return None;
            }
            Some((private, std::fs::read_to_string(&path).ok()?.trim().to_owned()))
        })
        .collect();
    keys.sort();
    keys
}

fn instance_id(dir: &MachineDir) -> Result<String, HostagentError> {
    let path = dir.file(INSTANCE_ID_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(file("read", &path, source)),
    }
    let id = uuid::Uuid::new_v4().simple().to_string();
    files::write_whole(&path, format!("{id}\n").as_bytes(), 0o644).map_err(|source| file("write", &path, source))?;
    Ok(id)
}

fn proxy_variables() -> BTreeMap<String, String> {
    let names = ["ftp_proxy", "http_proxy", "https_proxy", "no_proxy"];
    let both = names.into_iter().flat_map(|name| [name.to_owned(), name.to_ascii_uppercase()]);
    both.filter_map(|name| Some((name.clone(), std::env::var(name).ok()?))).collect()
}

/// Reads the name servers of a `resolv.conf`.
fn name_servers(text: &str) -> Vec<IpAddr> {
    let server = |line: &str| line.strip_prefix("nameserver")?.split_whitespace().next()?.parse().ok();
    text.lines().filter_map(server).collect()
}

fn file(operation: &'static str, path: &Path, source: io::Error) -> HostagentError {
    HostagentError::File { operation, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_new_and_read_back() {
        let home = tempfile::tempdir().unwrap();
        let dir = MachineDir::new(home.path(), &MachineName::new("demo").unwrap());
        std::fs::create_dir(dir.path()).unwrap();
        assert_ne!(new_boot_token(), new_boot_token());
        assert_eq!(boot_token(&dir), None);
        for (text, expect) in [("iid-1\n", Some("iid-1")), ("", None), ("a b", None), ("x;reboot", None)] {
            std::fs::write(dir.boot_id(), text).unwrap();
            assert_eq!(boot_token(&dir).as_deref(), expect, "{text:?}");
        }
        let id = instance_id(&dir).unwrap();
        assert_eq!(instance_id(&dir).unwrap(), id);
    }

    #[test]
    fn resolvers() {
        let text =
            "# nameserver 9.9.9.9\nnameserver 192.0.2.1\nsearch x\nnameserver fe80::1\nnameserver fe80::1%eth0\n";
        assert_eq!(name_servers(text), ["192.0.2.1".parse::<IpAddr>().unwrap(), "fe80::1".parse().unwrap()]);
    }

    #[test]
    fn own_keys_need_both_halves() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(own_public_keys(home.path()), []);
        let ssh = home.path().join(".ssh");
        std::fs::create_dir(&ssh).unwrap();
        for (name, text) in [("id_a", ""), ("id_a.pub", "ssh-ed25519 A a\n"), ("id_b.pub", "ssh-ed25519 B b\n")] {
            std::fs::write(ssh.join(name), text).unwrap();
        }
        assert_eq!(own_public_keys(home.path()), [(ssh.join("id_a"), "ssh-ed25519 A a".to_owned())]);
    }
}
