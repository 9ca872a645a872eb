//! `lima.env` and `param.env`: what boot scripts are told, as `KEY=value` lines that are read line by
//! line and not by a shell, so nothing is quoted.

use std::fmt::Write;

use rdd_machine::MachineConfig;
use rdd_machine::config::{AdditionalDisk, ProvisionMode};
use rdd_machine::network;

use crate::SeedInputs;

struct Lines(String);

impl Lines {
    fn set(&mut self, key: &str, value: impl std::fmt::Display) {
        // A line break would end the value; nothing that is checked has one.
        let value = value.to_string().replace('\n', " ");
        let _ = writeln!(self.0, "LIMA_CIDATA_{key}={value}");
    }

    fn flag(&mut self, key: &str, value: bool) {
        self.set(key, if value { "1" } else { "" });
    }
}

/// Returns the text of `lima.env`.
pub(crate) fn lima_env(config: &MachineConfig, inputs: &SeedInputs) -> String {
    let mut lines = Lines(String::new());
    lines.set("DEBUG", inputs.debug);
    lines.set("IID", &inputs.boot_token);
    lines.set("NAME", &config.name);
    lines.set("USER", &config.user.name);
    lines.set("UID", config.user.uid);
    lines.set("COMMENT", &config.user.comment);
    lines.set("HOME", &config.user.home);
    lines.set("SHELL", &config.user.shell);
    let host_home = config.mounts.iter().find(|mount| Some(&mount.location) == inputs.host_home.as_ref());
    lines.set("HOSTHOME_MOUNTPOINT", host_home.map_or("", |mount| &mount.mount_point));
    mounts(&mut lines, config);
    disks(&mut lines, config);
    provisioning(&mut lines, config);
    lines.set("GUEST_INSTALL_PREFIX", &config.guest_install_prefix);
    lines.flag("UPGRADE_PACKAGES", config.upgrade_packages);
    for key in ["CONTAINERD_USER", "CONTAINERD_SYSTEM", "CONTAINERD_ARCHIVE"] {
        lines.set(key, "");
    }
    lines.set("SLIRP_DNS", network::DNS);
    lines.set("SLIRP_GATEWAY", network::GATEWAY);
    lines.set("SLIRP_IP_ADDRESS", network::GUEST);
    lines.set("UDP_DNS_LOCAL_PORT", 0);
    lines.set("TCP_DNS_LOCAL_PORT", 0);
    lines.set("ROSETTA_ENABLED", false);
    lines.set("ROSETTA_BINFMT", false);
    let skip = |step: &rdd_machine::config::Provision| step.skip_default_dependency_resolution;
    lines.flag("SKIP_DEFAULT_DEPENDENCY_RESOLUTION", config.provision.iter().any(skip));
    lines.set("VMTYPE", &config.vm_type);
    lines.set("VSOCK_PORT", 0);
    lines.set("VIRTIO_PORT", "");
    lines.flag("PLAIN", config.plain);
    lines.flag("NO_CLOUD_INIT", config.vm_type == "wsl2");
    lines.0
}

/// Returns the text of `param.env`.
pub(crate) fn param_env(config: &MachineConfig) -> String {
    config.param.iter().map(|(key, value)| format!("PARAM_{key}={}\n", value.replace('\n', " "))).collect()
}

/// Returns 9p's or virtiofs' mount options; `None` for mounts that the guest does not mount itself.
pub(crate) fn mount_options(config: &MachineConfig, mount: &rdd_machine::config::Mount) -> Option<String> {
    let access = if mount.writable { "rw" } else { "ro" };
    match config.mount_type.as_str() {
        "9p" => Some(format!(
            "{access},trans=virtio,version={},msize={},cache={},nofail",
            mount.nine_p.protocol_version, mount.nine_p.msize, mount.nine_p.cache
        )),
        "virtiofs" => Some(format!("{access},nofail")),
        _ => None,
    }
}

fn mounts(lines: &mut Lines, config: &MachineConfig) {
    lines.set("MOUNTS", config.mounts.len());
    for (i, mount) in config.mounts.iter().enumerate() {
        lines.set(&format!("MOUNTS_{i}_MOUNTPOINT"), &mount.mount_point);
        if let Some(options) = mount_options(config, mount) {
            lines.set(&format!("MOUNTS_{i}_TAG"), &mount.tag);
            lines.set(&format!("MOUNTS_{i}_OPTIONS"), options);
        }
    }
    lines.set("MOUNTTYPE", if config.mount_type == "wsl2" { "" } else { &config.mount_type });
}

fn disks(lines: &mut Lines, config: &MachineConfig) {
    lines.set("DISKS", config.additional_disks.len());
    for (i, disk) in config.additional_disks.iter().enumerate() {
        lines.set(&format!("DISK_{i}_NAME"), &disk.name);
        lines.set(&format!("DISK_{i}_DEVICE"), format_args!("disk/by-id/virtio-{}", AdditionalDisk::serial(i)));
        lines.set(&format!("DISK_{i}_SERIAL"), AdditionalDisk::serial(i));
        lines.set(&format!("DISK_{i}_FORMAT"), disk.format);
        lines.set(&format!("DISK_{i}_FSTYPE"), &disk.fs_type);
        lines.set(&format!("DISK_{i}_FSARGS"), disk.fs_args.join(" "));
    }
}

fn provisioning(lines: &mut Lines, config: &MachineConfig) {
    for (i, step) in config.provision.iter().enumerate() {
        let prefix = match step.mode {
            ProvisionMode::Data => format!("DATAFILE_{i:08}"),
            ProvisionMode::Yq => format!("YQ_PROVISION_{i:08}"),
            _ => continue,
        };
        if step.mode == ProvisionMode::Data {
            lines.set(&format!("{prefix}_OVERWRITE"), step.overwrite);
        } else {
            lines.set(&format!("{prefix}_FORMAT"), &step.format);
        }
        lines.set(&format!("{prefix}_OWNER"), &step.owner);
        lines.set(&format!("{prefix}_PATH"), &step.path);
        lines.set(&format!("{prefix}_PERMISSIONS"), &step.permissions);
    }
}
