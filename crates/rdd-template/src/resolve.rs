//! Fills in the defaults and checks every value on the way, so that a template is read by one set of
//! rules, whether somebody asks "is it good?" or "what does it mean?".

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rdd_machine::config::{AdditionalDisk, Arch, CaCerts, CopyToHost, FileSource, Image, Kernel, Mount, NineP, Ssh};
use rdd_machine::{MachineConfig, MachineName, size};
use sha2::{Digest, Sha256};

use crate::document::{self, Document};
use crate::forward::{self, port_number};
use crate::host::{HostFacts, HostOs};
use crate::problem::{Problems, ValidationErrors};
use crate::render::Variables;
use crate::{LIMA_VERSION, param, provision, user};

/// Mount points that would hide a part of the guest's system.
const SYSTEM_PATHS: [&str; 10] = ["/", "/bin", "/dev", "/etc", "/home", "/opt", "/sbin", "/tmp", "/usr", "/var"];
/// What QEMU knows as `security_model`.
const SECURITY_MODELS: [&str; 4] = ["none", "mapped-xattr", "mapped-file", "passthrough"];
const MOUNT_TYPES: [&str; 4] = ["reverse-sshfs", "9p", "virtiofs", "wsl2"];

/// Checks a template for a machine that does not exist yet.
pub(crate) fn check(d: &Document, host: &HostFacts) -> Result<(), ValidationErrors> {
    let name = MachineName::new("name").expect("a plain word is a machine name");
    let dir = host.home.join(".lima").join("name");
    fill(d, &Place { name: &name, dir: &dir, is_real: false }, host).map(drop)
}

/// Returns what a template means for a machine.
pub(crate) fn resolve(
    d: &Document,
    name: &MachineName,
    dir: &Path,
    host: &HostFacts,
) -> Result<MachineConfig, ValidationErrors> {
    fill(d, &Place { name, dir, is_real: true }, host)
}

/// Where the machine lives, or a stand-in.
struct Place<'a> {
    name: &'a MachineName,
    dir: &'a Path,
    is_real: bool,
}

fn fill(d: &Document, place: &Place<'_>, host: &HostFacts) -> Result<MachineConfig, ValidationErrors> {
    let mut found = Problems::default();
    let problems = &mut found;
    check_scalars(d, problems);
    param::check_values(d, problems);
    let arch = arch("arch", d.arch.as_deref(), problems).unwrap_or(host.arch);
    let vm_type = vm_type(d, arch, host, problems);
    let plain = d.plain.unwrap_or(false);
    let user = user::resolve(d, place.name, host, problems);
    let guest = Variables::guest(place.name, &user, &d.param);
    let host_variables = Variables::host(place.name, place.dir, host, &d.param);
    let forwards = forward::Context {
        guest: &guest,
        host: &host_variables,
        facts: host,
        dir: place.dir,
        dir_is_real: place.is_real,
        plain,
    };
    let half_of_memory = host.memory / 2;
    let config = MachineConfig {
        arch,
        cpus: cpus(d, host, problems),
        memory: bytes("memory", d.memory.as_deref(), half_of_memory.min(4 << 30), problems),
        disk: bytes("disk", d.disk.as_deref(), 100 << 30, problems),
        images: images(d, arch, host, problems),
        cpu_type: d.cpu_type.get(arch.as_str()).filter(|model| !model.is_empty()).cloned(),
        qemu_minimum_version: qemu_minimum_version(d, problems),
        legacy_bios: d.legacy_bios.unwrap_or(false),
        additional_disks: disks(d, problems),
        mount_type: mount_type(d, &vm_type, host, problems),
        mounts: mounts(d, &host_variables, &guest, &user.home, host, problems),
        ssh: Ssh {
            local_port: d
                .ssh_local_port
                .filter(|port| *port != 0)
                .and_then(|port| port_number("ssh.localPort", port, problems))
                .unwrap_or(0),
            load_dot_ssh_pub_keys: d.ssh_load_dot_ssh_pub_keys.unwrap_or(false),
            forward_agent: d.ssh_forward_agent.unwrap_or(false),
        },
        provision: provision::steps(d, &guest, problems),
        probes: provision::probes(d, &guest, problems),
        port_forwards: forward::rules(d, &forwards, problems),
        env: d.env.clone(),
        param: d.param.clone(),
        dns: dns(d, problems),
        host_resolver: d.host_resolver.unwrap_or(true),
        host_resolver_hosts: d.host_resolver_hosts.clone(),
        propagate_proxy_env: d.propagate_proxy_env.unwrap_or(true),
        timezone: if plain { String::new() } else { d.timezone.clone().unwrap_or_else(|| host.timezone.clone()) },
        ca_certs: ca_certs(d, host, problems),
        upgrade_packages: d.upgrade_packages.unwrap_or(false),
        plain,
        message: d.message.clone().unwrap_or_default(),
        video_display: d.video_display.clone().unwrap_or_else(|| "none".into()),
        mac_address: mac_address(&host.machine_id, place.dir),
        guest_install_prefix: d.guest_install_prefix.clone().unwrap_or_else(|| "/usr/local".into()),
        copy_to_host: copies(d, &guest, &host_variables, host, problems),
        user,
        ..MachineConfig::new(place.name.clone(), place.dir.to_owned(), vm_type)
    };
    let config = if plain { MachineConfig { mounts: Vec::new(), ..config } } else { config };
    found.into_result()?;
    Ok(config)
}

/// Checks what only has to be of a certain form.
fn check_scalars(d: &Document, problems: &mut Problems) {
    if d.base > 0 {
        problems.hint("base", "must be empty", "merge the base templates into this one");
    }
    if let Some(text) = &d.minimum_lima_version {
        let ours = semver::Version::parse(LIMA_VERSION).expect("our version is a version");
        match semver::Version::parse(text.strip_prefix('v').unwrap_or(text)) {
            Ok(version) if version > ours => {
                let reason = format!("needs Lima {version}, but templates are understood up to {ours}");
                problems.add("minimumLimaVersion", reason);
            }
            Ok(_) => {}
            Err(error) => {
                problems.add("minimumLimaVersion", format!("must be a semantic version, got {text:?}: {error}"))
            }
        }
    }
    match d.os.as_deref() {
        None | Some("Linux") => {}
        Some(os @ ("Darwin" | "FreeBSD")) => {
            problems.add("os", format!("must be \"Linux\": {os} guests are not supported"))
        }
        Some(os) => problems.add("os", format!("must be \"Linux\", got {os:?}")),
    }
    if d.networks > 0 {
        problems.hint(
            "networks",
            "must be empty: additional networks are not supported",
            "the guest always has a user-mode network with ports forwarded to the host",
        );
    }
    for (key, value) in &d.env {
        // Shells, sudo and pam_env agree on no others; one bad name would keep every login out.
        let good = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !good {
            problems.add("env", format!("name {key:?} does not match ^[a-zA-Z_][a-zA-Z0-9_]*$"));
        }
        if value.contains(['\n', '\0']) {
            problems.add(format!("env.{key}"), "must be a single line");
        }
    }
    let zone = d.timezone.as_deref().unwrap_or_default();
    if zone.starts_with('/') || zone.contains("..") || zone.contains(char::is_whitespace) {
        problems.add("timezone", format!("must be a time zone's name, got {zone:?}"));
    }
    if let Some(prefix) = d.guest_install_prefix.as_deref().filter(|prefix| !prefix.starts_with('/')) {
        problems.add("guestInstallPrefix", format!("must be an absolute path, got {prefix:?}"));
    }
}

fn qemu_minimum_version(d: &Document, problems: &mut Problems) -> Option<(u64, u64, u64)> {
    let text = d.qemu_minimum_version.as_deref().filter(|text| !text.is_empty())?;
    match semver::Version::parse(text) {
        Ok(version) => Some((version.major, version.minor, version.patch)),
        Err(error) => {
            problems.add("vmOpts.qemu.minimumVersion", format!("must be a semantic version, got {text:?}: {error}"));
            None
        }
    }
}

fn arch(field: &str, text: Option<&str>, problems: &mut Problems) -> Option<Arch> {
    let text = text?;
    let arch = Arch::parse(text);
    if arch.is_none() {
        let known = Arch::ALL.map(Arch::as_str).join(", ");
        problems.add(field, format!("must be one of {known}; got {text:?}"));
    }
    arch
}

fn vm_type(d: &Document, arch: Arch, host: &HostFacts, problems: &mut Problems) -> String {
    let default = match host.os {
        HostOs::MacOs if arch == host.arch => "vz",
        HostOs::Windows if arch == host.arch => "wsl2",
        _ => "qemu",
    };
    let vm_type = d.vm_type.as_deref().unwrap_or(default);
    if !host.drivers.iter().any(|driver| driver == vm_type) {
        let mut drivers = host.drivers.clone();
        drivers.sort();
        let reason = format!("{vm_type:?} is not a registered driver; registered: {}", drivers.join(", "));
        problems.add("vmType", reason);
    }
    vm_type.to_owned()
}

fn cpus(d: &Document, host: &HostFacts, problems: &mut Problems) -> u32 {
    let default = host.cpus.clamp(1, 4);
    match d.cpus {
        None | Some(0) => default,
        Some(cpus) => u32::try_from(cpus).unwrap_or_else(|_| {
            problems.add("cpus", format!("must be a positive number, got {cpus}"));
            default
        }),
    }
}

fn bytes(field: &str, text: Option<&str>, default: u64, problems: &mut Problems) -> u64 {
    let Some(text) = text else { return default };
    match size::parse(text.trim()) {
        Ok(0) => problems.add(field, "must be greater than 0"),
        Ok(size) => return size,
        Err(error) => problems.hint(field, format!("has an invalid value: {error}"), "as in \"4GiB\" or \"512MiB\""),
    }
    default
}

fn images(d: &Document, machine_arch: Arch, host: &HostFacts, problems: &mut Problems) -> Vec<Image> {
    if d.images.is_empty() {
        problems.hint("images", "must be set", "name at least one image, as in `images: [{location: ...}]`");
    }
    let mut images = Vec::with_capacity(d.images.len());
    for (i, image) in d.images.iter().enumerate() {
        let at = format!("images[{i}]");
        let file = file(&at, &image.file, machine_arch, host, problems);
        let mut beside = |name: &str, source: &document::File| {
            let at = format!("{at}.{name}");
            let beside = self::file(&at, source, file.arch, host, problems);
            if beside.arch != file.arch {
                let (theirs, ours) = (beside.arch.as_str(), file.arch.as_str());
                problems.add(format!("{at}.arch"), format!("must be the image's, {ours:?}, got {theirs:?}"));
            }
            beside
        };
        let kernel = image
            .kernel
            .as_ref()
            .map(|(source, cmdline)| Kernel { file: beside("kernel", source), cmdline: cmdline.clone() });
        let initrd = image.initrd.as_ref().map(|source| beside("initrd", source));
        images.push(Image { file, kernel, initrd });
    }
    images
}

fn file(at: &str, f: &document::File, default: Arch, host: &HostFacts, problems: &mut Problems) -> FileSource {
    let location = f.location.clone().unwrap_or_default();
    let scheme = location.split_once("://").map(|(scheme, _)| scheme.to_owned());
    let field = format!("{at}.location");
    let location = match scheme.as_deref() {
        _ if location.is_empty() => {
            problems.add(field, "must not be empty");
            location
        }
        Some("http" | "https" | "file") => location,
        Some(other) => {
            problems.hint(field, format!("has the unknown scheme {other:?}"), "http, https, file or a local path");
            location
        }
        None => {
            let path = host.expand(&location);
            if !path.is_absolute() {
                problems.add(field, format!("must be a URL or an absolute path, got {location:?}"));
            }
            path.to_string_lossy().into_owned()
        }
    };
    let digest = f.digest.clone().filter(|digest| !digest.is_empty());
    if let Some(digest) = &digest {
        check_digest(&format!("{at}.digest"), digest, problems);
    }
    let arch = arch(&format!("{at}.arch"), f.arch.as_deref(), problems).unwrap_or(default);
    FileSource { location, arch, digest }
}

fn check_digest(field: &str, digest: &str, problems: &mut Problems) {
    let (algorithm, hex) = digest.split_once(':').unwrap_or(("", digest));
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => {
            problems.hint(field, format!("is invalid: {digest:?}"), "as in \"sha256:\" and 64 hexadecimal digits");
            return;
        }
    };
    let is_hex = hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if !is_hex || hex.len() != length {
        problems.add(field, format!("is invalid: {digest:?} must have {length} lower-case hexadecimal digits"));
    }
}

fn disks(d: &Document, problems: &mut Problems) -> Vec<AdditionalDisk> {
    for (i, disk) in d.additional_disks.iter().enumerate() {
        if let Err(error) = MachineName::new(disk.name.as_str()) {
            let error = error.to_string().replace("instance name", "disk name");
            problems.add(format!("additionalDisks[{i}].name"), format!("is invalid: {error}"));
        }
        if d.additional_disks[..i].iter().any(|earlier| earlier.name == disk.name) {
            problems.add(format!("additionalDisks[{i}].name"), format!("{:?} is in the list already", disk.name));
        }
    }
    let disk = |disk: &document::Disk| AdditionalDisk {
        name: disk.name.clone(),
        format: disk.format.unwrap_or(true),
        fs_type: disk.fs_type.clone().unwrap_or_default(),
        fs_args: disk.fs_args.clone(),
    };
    d.additional_disks.iter().map(disk).collect()
}

fn mount_type(d: &Document, vm_type: &str, host: &HostFacts, problems: &mut Problems) -> String {
    let unsupported = |mount_type: &str| d.mount_types_unsupported.iter().any(|other| other == mount_type);
    let default = match vm_type {
        "vz" => "virtiofs",
        "wsl2" => "wsl2",
        "qemu" if host.os != HostOs::Windows && !unsupported("9p") => "9p",
        _ => "reverse-sshfs",
    };
    let mount_type = d.mount_type.as_deref().unwrap_or(default);
    if !MOUNT_TYPES.contains(&mount_type) {
        problems.add("mountType", format!("must be one of {}, got {mount_type:?}", MOUNT_TYPES.join(", ")));
    }
    if unsupported(mount_type) {
        problems.add("mountType", format!("must not be {mount_type:?}, which is in `mountTypesUnsupported`"));
    }
    mount_type.to_owned()
}

fn mounts(
    d: &Document,
    host_variables: &Variables,
    guest: &Variables,
    user_home: &str,
    host: &HostFacts,
    problems: &mut Problems,
) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = Vec::with_capacity(d.mounts.len());
    for (i, mount) in d.mounts.iter().enumerate() {
        let at = format!("mounts[{i}]");
        let location = host_variables.render(mount.location.as_deref().unwrap_or_default());
        let location = host.expand(&location);
        if !location.is_absolute() {
            problems.add(format!("{at}.location"), format!("must be an absolute path, got {location:?}"));
        } else if location.exists() && !location.is_dir() {
            problems.add(format!("{at}.location"), format!("refers to a non-directory path: {location:?}"));
        }
        let mount_point = match mount.mount_point.as_deref().filter(|point| !point.is_empty()) {
            Some(point) => guest.render(point),
            None => location.to_string_lossy().into_owned(),
        };
        check_mount_point(&format!("{at}.mountPoint"), &mount_point, user_home, problems);
        let writable = mount.writable.unwrap_or(false);
        let nine_p = nine_p(&format!("{at}.9p"), mount, problems);
        let tag = mount_tag(&location, &mount_point);
        let mount = Mount { location, mount_point, writable, tag, nine_p };
        // A later entry for the same mount point replaces the earlier one, in its place.
        match mounts.iter_mut().find(|earlier| earlier.mount_point == mount.mount_point) {
            Some(earlier) => *earlier = mount,
            None => mounts.push(mount),
        }
    }
    mounts
}

fn nine_p(at: &str, mount: &document::Mount, problems: &mut Problems) -> NineP {
    let cache = if mount.writable.unwrap_or(false) { "mmap" } else { "fscache" };
    let or = |text: &Option<String>, default: &str| {
        text.clone().filter(|text| !text.is_empty()).unwrap_or_else(|| default.to_owned())
    };
    let nine_p = NineP {
        security_model: or(&mount.security_model, "none"),
        protocol_version: or(&mount.protocol_version, "9p2000.L"),
        msize: bytes(&format!("{at}.msize"), mount.msize.as_deref(), 128 << 10, problems),
        cache: or(&mount.cache, cache),
    };
    // It stands in an option list of the hypervisor, in which more of this host could be named.
    if !SECURITY_MODELS.contains(&nine_p.security_model.as_str()) {
        let reason = format!("must be one of {}, got {:?}", SECURITY_MODELS.join(", "), nine_p.security_model);
        problems.hint(format!("{at}.securityModel"), reason, "none gives files the rights of the user who runs the VM");
    }
    // They stand in an option list of the guest's mount.
    for (name, text, example) in
        [("protocolVersion", &nine_p.protocol_version, "9p2000.L"), ("cache", &nine_p.cache, "mmap")]
    {
        if !text.chars().all(|c| c.is_ascii_alphanumeric() || ".=_-".contains(c)) {
            let reason = format!("must be made of letters, digits, '.', '=', '_' and '-', got {text:?}");
            problems.hint(format!("{at}.{name}"), reason, format!("as in {example:?}"));
        }
    }
    nine_p
}

fn check_mount_point(field: &str, point: &str, user_home: &str, problems: &mut Problems) {
    let trimmed = if point.len() > 1 { point.trim_end_matches('/') } else { point };
    if SYSTEM_PATHS.contains(&trimmed) {
        problems.add(field, format!("must not be a system path such as /etc or /usr, got {point:?}"));
    } else if trimmed == user_home {
        problems.add(field, format!("must not be the guest user's own home directory, {point:?}"));
    } else if point.starts_with('~') {
        problems.add(field, format!("must not start with '~', got {point:?}"));
    } else if !point.starts_with('/') {
        problems.add(field, format!("must be an absolute path, got {point:?}"));
    } else if point.contains(char::is_control) {
        problems.add(field, format!("must not contain control characters, got {point:?}"));
    }
}

fn dns(d: &Document, problems: &mut Problems) -> Vec<IpAddr> {
    if !d.dns.is_empty() && d.host_resolver.unwrap_or(true) {
        problems.add("dns", "must be empty when field `hostResolver.enabled` is true");
    }
    let mut servers = Vec::new();
    for (i, text) in d.dns.iter().enumerate() {
        match text.parse() {
            Ok(server) => servers.push(server),
            Err(_) => problems.add(format!("dns[{i}]"), format!("must be an IP address, got {text:?}")),
        }
    }
    servers
}

fn ca_certs(d: &Document, host: &HostFacts, problems: &mut Problems) -> CaCerts {
    let mut certs = Vec::new();
    for (i, path) in d.ca_files.iter().enumerate() {
        match std::fs::read_to_string(host.expand(path)) {
            Ok(text) => certs.push(text),
            Err(error) => problems.add(format!("caCerts.files[{i}]"), format!("cannot be read: {path:?}: {error}")),
        }
    }
    for cert in &d.ca_certs {
        if !certs.contains(cert) {
            certs.push(cert.clone());
        }
    }
    CaCerts { remove_defaults: d.ca_remove_defaults.unwrap_or(false), certs }
}

fn copies(
    d: &Document,
    guest: &Variables,
    host_variables: &Variables,
    host: &HostFacts,
    problems: &mut Problems,
) -> Vec<CopyToHost> {
    let mut copies = Vec::with_capacity(d.copy_to_host.len());
    for (i, copy) in d.copy_to_host.iter().enumerate() {
        let from = guest.render(copy.guest.as_deref().unwrap_or_default());
        let to: PathBuf = host.expand(&host_variables.render(copy.host.as_deref().unwrap_or_default()));
        if !from.starts_with('/') {
            problems.add(format!("copyToHost[{i}].guest"), format!("must be an absolute path, got {from:?}"));
        }
        if !to.is_absolute() {
            problems.add(format!("copyToHost[{i}].host"), format!("must be an absolute path, got {to:?}"));
        }
        copies.push(CopyToHost { guest: from, host: to, delete_on_stop: copy.delete_on_stop.unwrap_or(false) });
    }
    copies
}

/// Lima's rule: the guests of one host differ, and a guest keeps its address.
fn mac_address(machine_id: &str, dir: &Path) -> String {
    let hash = Sha256::digest(format!("{machine_id}{}", dir.display()));
    format!("52:55:55:{:02x}:{:02x}:{:02x}", hash[0], hash[1], hash[2])
}

fn mount_tag(location: &Path, mount_point: &str) -> String {
    let hash = Sha256::digest(format!("{}\0{mount_point}", location.display()));
    format!("lima-{}", hex::encode(&hash[..8]))
}
