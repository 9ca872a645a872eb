//! Which files a seed has.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;
use std::path::PathBuf;

use rdd_machine::MachineConfig;
use rdd_machine::config::ProvisionMode;
use rdd_machine::network;

use crate::{environment, user_data, variables};

/// What a seed needs besides the machine's configuration.
#[derive(Clone, Debug, Default)]
pub struct SeedInputs {
    /// Public keys in OpenSSH's format that may log in as the guest's user.
    pub ssh_public_keys: Vec<String>,
    /// An identifier of the machine that stays for its whole life. The instance id that the guest sees
    /// is made of it and of a digest of what cloud-init does only once, so that a change is applied.
    pub instance_id: String,
    /// The token of this boot; never the same twice.
    pub boot_token: String,
    /// The host's own proxy variables (`http_proxy`, `NO_PROXY`, ...), to be passed on to the guest.
    pub proxy_env: BTreeMap<String, String>,
    /// Name servers of the host, for a guest that neither has its own nor uses the host's resolver.
    pub host_dns: Vec<IpAddr>,
    /// The home directory of the host's user, so that scripts can be told where it is mounted.
    pub host_home: Option<PathBuf>,
    /// Seconds since 1970; the time of the files, from which a guest without a clock sets its own.
    pub now: u64,
    /// Let boot scripts trace what they do.
    pub debug: bool,
}

/// A file of the seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedFile {
    /// What is in it.
    pub contents: Vec<u8>,
    /// Whether the guest may run it.
    pub executable: bool,
}

/// The files of a seed by their paths, which have `/` between their parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seed {
    /// The files.
    pub files: BTreeMap<String, SeedFile>,
    /// The files' time, in seconds since 1970.
    pub modified: u64,
}

/// The boot scripts, in the order of their names, which is the order in which they run.
const BOOT_SCRIPTS: [(&str, &str); 11] = [
    ("00-check-rtc.sh", include_str!("../guest/boot.Linux/00-check-rtc.sh")),
    ("00-modprobe.sh", include_str!("../guest/boot.Linux/00-modprobe.sh")),
    ("01-login.sh", include_str!("../guest/boot.Linux/01-login.sh")),
    ("05-lima-disks.sh", include_str!("../guest/boot.Linux/05-lima-disks.sh")),
    ("05-lima-mounts.sh", include_str!("../guest/boot.Linux/05-lima-mounts.sh")),
    ("06-etc-hosts.sh", include_str!("../guest/boot.Linux/06-etc-hosts.sh")),
    ("07-etc-environment.sh", include_str!("../guest/boot.Linux/07-etc-environment.sh")),
    ("10-sshd-forwarding.sh", include_str!("../guest/boot.Linux/10-sshd-forwarding.sh")),
    ("20-user-session.sh", include_str!("../guest/boot.Linux/20-user-session.sh")),
    ("30-install-packages.sh", include_str!("../guest/boot.Linux/30-install-packages.sh")),
    ("35-setup-packages.sh", include_str!("../guest/boot.Linux/35-setup-packages.sh")),
];

/// Makes the seed for one boot of a machine.
pub fn build(config: &MachineConfig, inputs: &SeedInputs) -> Seed {
    let mut seed = Seed { files: BTreeMap::new(), modified: inputs.now };
    let environment = environment::guest_environment(config, inputs);
    let user_data = user_data::user_data(config, inputs);
    let network_config = network_config(config, inputs);
    // The host's name servers change with the place it is at. That is no reason for cloud-init to begin
    // anew: user-data has it apply the network's configuration at each boot then.
    let lasting = self::network_config(config, &SeedInputs { host_dns: Vec::new(), ..inputs.clone() });
    let instance_id = user_data::instance_id(inputs, &[&user_data, &lasting]);
    seed.data("meta-data", format!("instance-id: {instance_id}\nlocal-hostname: {}\n", config.name.hostname()));
    seed.data("user-data", user_data);
    seed.data("network-config", network_config);
    seed.data("lima.env", variables::lima_env(config, inputs));
    seed.data("param.env", variables::param_env(config));
    seed.data("etc_environment", environment::etc_environment(&environment));
    seed.data("etc_hosts", etc_hosts(config));
    seed.data("ssh_authorized_keys", inputs.ssh_public_keys.iter().map(|key| format!("{}\n", key.trim())).collect());
    seed.script("boot.sh", include_str!("../guest/boot.sh").to_owned());
    for (name, text) in BOOT_SCRIPTS {
        seed.script(&format!("boot.Linux/{name}"), text.to_owned());
    }
    for (i, step) in config.provision.iter().enumerate() {
        let directory = match step.mode {
            ProvisionMode::System => "provision.system",
            ProvisionMode::User => "provision.user",
            ProvisionMode::Dependency => "provision.dependency",
            ProvisionMode::Data => "provision.data",
            ProvisionMode::Yq => "provision.yq",
            // It runs from user-data, before this disk is mounted.
            ProvisionMode::Boot => continue,
        };
        let path = format!("{directory}/{i:08}");
        match step.mode {
            ProvisionMode::Data | ProvisionMode::Yq => seed.data(&path, step.text.clone()),
            _ => seed.script(&path, step.text.clone()),
        }
    }
    seed
}

impl Seed {
    fn data(&mut self, path: &str, text: String) {
        self.files.insert(path.to_owned(), SeedFile { contents: text.into_bytes(), executable: false });
    }

    fn script(&mut self, path: &str, text: String) {
        self.files.insert(path.to_owned(), SeedFile { contents: text.into_bytes(), executable: true });
    }
}

/// The network: DHCP on the card with the machine's MAC address, which is named as Lima names it.
fn network_config(config: &MachineConfig, inputs: &SeedInputs) -> String {
    let mut text = String::from("version: 2\nethernets:\n");
    let interface = network::INTERFACE;
    let _ = write!(
        text,
        "  {interface}:\n    match:\n      macaddress: '{}'\n    dhcp4: true\n    set-name: {interface}\n    \
         dhcp4-overrides:\n      route-metric: 200\n    dhcp-identifier: mac\n",
        config.mac_address
    );
    let servers: Vec<IpAddr> = if !config.dns.is_empty() {
        config.dns.clone()
    } else if user_data::uses_host_dns(config) && !inputs.host_dns.is_empty() {
        inputs.host_dns.clone()
    } else {
        vec![network::DNS.into()]
    };
    text.push_str("    nameservers:\n      addresses:\n");
    for server in servers {
        let _ = writeln!(text, "      - {server}");
    }
    text
}

/// The names with fixed answers whose answers are addresses, directly or by another such name.
fn etc_hosts(config: &MachineConfig) -> String {
    let mut text = format!("{} host.lima.internal\n", network::GATEWAY);
    for name in config.host_resolver_hosts.keys() {
        let mut target = name.as_str();
        // An alias of an alias of ... ; one that leads in a circle leads nowhere.
        for _ in 0..config.host_resolver_hosts.len() {
            match config.host_resolver_hosts.get(target) {
                Some(next) => target = next,
                None => break,
            }
        }
        let address = if target == "host.lima.internal" { Some(network::GATEWAY.into()) } else { target.parse().ok() };
        let name_is_plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
        if let Some(address) = address.filter(|_: &IpAddr| name_is_plain) {
            let _ = writeln!(text, "{address} {name}");
        }
    }
    text
}
