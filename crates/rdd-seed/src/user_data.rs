//! `user-data`: what cloud-init does.

use std::fmt::Write;

use rdd_machine::MachineConfig;
use rdd_machine::config::ProvisionMode;
use sha2::{Digest, Sha256};

use crate::SeedInputs;
use crate::variables::mount_options;

/// The script that runs at every boot. It stays in the guest, so it only finds the seed and hands
/// over to the script that came with it.
const PER_BOOT_SCRIPT: &str = include_str!("../guest/00-lima.boot.sh");

/// Returns the instance id: the machine's own, and a digest of what is done only once per instance.
/// What changes by itself from boot to boot must not be in `texts`.
pub(crate) fn instance_id(inputs: &SeedInputs, texts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text.as_bytes());
        hash.update([0]);
    }
    format!("{}-{}", inputs.instance_id, hex::encode(&hash.finalize()[..4]))
}

/// Returns the cloud-config for people to read: without the boot script and the mounts.
pub fn cloud_config(config: &MachineConfig, inputs: &SeedInputs) -> String {
    let mut text = head(config);
    users(&mut text, config, inputs);
    tail(&mut text, config);
    text
}

/// Returns the whole cloud-config.
pub(crate) fn user_data(config: &MachineConfig, inputs: &SeedInputs) -> String {
    let mut text = head(config);
    mounts(&mut text, config);
    users(&mut text, config, inputs);
    text.push_str(
        "write_files:\n  - path: /var/lib/cloud/scripts/per-boot/00-lima.boot.sh\n    owner: root:root\n    \
         permissions: \"0755\"\n    content: |\n",
    );
    indent(&mut text, 6, PER_BOOT_SCRIPT);
    name_servers(&mut text, config);
    if uses_host_dns(config) {
        // They change with the place that the host is at, which is no new instance.
        text.push_str("updates:\n  network:\n    when: [boot-new-instance, boot]\n");
    }
    tail(&mut text, config);
    text
}

/// Returns whether the guest asks the host's own name servers.
pub(crate) fn uses_host_dns(config: &MachineConfig) -> bool {
    config.dns.is_empty() && !config.host_resolver
}

fn head(config: &MachineConfig) -> String {
    let mut text = String::from("#cloud-config\n");
    // Host keys survive when something changes that gives the machine a new instance id.
    text.push_str("ssh_deletekeys: false\nssh_genkeytypes: [ed25519, ecdsa]\nssh_quiet_keygen: true\n");
    text.push_str("growpart:\n  mode: auto\n  devices: [\"/\"]\n");
    if config.upgrade_packages {
        text.push_str("package_update: true\npackage_upgrade: true\npackage_reboot_if_required: true\n");
    }
    text
}

fn mounts(text: &mut String, config: &MachineConfig) {
    let mut is_first = true;
    for mount in &config.mounts {
        let Some(options) = mount_options(config, mount) else { continue };
        if std::mem::take(&mut is_first) {
            text.push_str("mounts:\n");
        }
        // fstab separates its fields by blanks; cloud-init does not escape them.
        let point = mount.mount_point.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011");
        let fields = [&mount.tag, &point, &config.mount_type, &options].map(|field| quote(field));
        let _ = writeln!(text, "  - [{}, \"0\", \"0\"]", fields.join(", "));
    }
}

fn users(text: &mut String, config: &MachineConfig, inputs: &SeedInputs) {
    let user = &config.user;
    let _ = write!(
        text,
        "users:\n  - name: {}\n    uid: {}\n    gecos: {}\n    homedir: {}\n    shell: {}\n    \
         sudo: \"ALL=(ALL) NOPASSWD:ALL\"\n    lock_passwd: true\n    ssh_authorized_keys:\n",
        quote(&user.name),
        user.uid,
        quote(&user.comment),
        quote(&user.home),
        quote(&user.shell),
    );
    for key in &inputs.ssh_public_keys {
        let _ = writeln!(text, "      - {}", quote(key.trim()));
    }
}

fn name_servers(text: &mut String, config: &MachineConfig) {
    if config.dns.is_empty() {
        return;
    }
    text.push_str("manage_resolv_conf: true\nresolv_conf:\n  nameservers:\n");
    for server in &config.dns {
        let _ = writeln!(text, "    - {server}");
    }
}

fn tail(text: &mut String, config: &MachineConfig) {
    if !config.timezone.is_empty() {
        let _ = writeln!(text, "timezone: {}", quote(&config.timezone));
    }
    let ca = &config.ca_certs;
    if ca.remove_defaults || !ca.certs.is_empty() {
        let _ = writeln!(text, "ca_certs:\n  remove_defaults: {}", ca.remove_defaults);
        if !ca.certs.is_empty() {
            text.push_str("  trusted:\n");
            for cert in &ca.certs {
                let _ = writeln!(text, "    - {}", quote(cert));
            }
        }
    }
    boot_commands(text, config);
}

/// Steps of mode `boot` run early at every boot, before the seed is mounted; so they carry their
/// parameters with them.
fn boot_commands(text: &mut String, config: &MachineConfig) {
    let mut is_first = true;
    for step in config.provision.iter().filter(|step| step.mode == ProvisionMode::Boot) {
        if std::mem::take(&mut is_first) {
            text.push_str("bootcmd:\n");
        }
        let mut script = String::new();
        for (key, value) in &config.param {
            let _ = writeln!(script, "export PARAM_{key}='{}'", value.replace('\'', r"'\''"));
        }
        script.push_str(&step.text);
        let _ = writeln!(text, "  - {}", quote(&script));
    }
}

/// Quotes a text for YAML; JSON's way of writing texts is one of YAML's. But where JSON lets characters
/// stand for themselves, YAML refuses those that cannot be printed, and takes some for line breaks.
fn quote(text: &str) -> String {
    let json = serde_json::to_string(text).expect("a text is JSON");
    let mut quoted = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted
}

fn indent(text: &mut String, width: usize, block: &str) {
    for line in block.lines() {
        let _ = if line.is_empty() { writeln!(text) } else { writeln!(text, "{:width$}{line}", "") };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_yaml_refuses_is_escaped() {
        assert_eq!(quote("a \"b\" \\ \t\u{1}"), r#""a \"b\" \\ \t\u0001""#);
        let expected = r#""\u007f\u0085\u009b\u2028\u2029\ufeff\uffff\u00a0ß€𝄞""#.replace("\\u00a0", "\u{a0}");
        assert_eq!(quote("\u{7f}\u{85}\u{9b}\u{2028}\u{2029}\u{feff}\u{ffff}\u{a0}ß€𝄞"), expected);
    }
}
