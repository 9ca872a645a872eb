//! A template as it was written: every field may be absent, no defaults, nothing rendered.

use std::collections::BTreeMap;

use crate::reader::{Fields, Node};

/// The fields of a template.
#[derive(Clone, Debug, Default)]
pub(crate) struct Document {
    pub(crate) base: usize,
    pub(crate) minimum_lima_version: Option<String>,
    pub(crate) vm_type: Option<String>,
    pub(crate) qemu_minimum_version: Option<String>,
    pub(crate) cpu_type: BTreeMap<String, String>,
    pub(crate) os: Option<String>,
    pub(crate) arch: Option<String>,
    pub(crate) images: Vec<Image>,
    pub(crate) cpus: Option<i64>,
    pub(crate) memory: Option<String>,
    pub(crate) disk: Option<String>,
    pub(crate) additional_disks: Vec<Disk>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) mount_types_unsupported: Vec<String>,
    pub(crate) mount_type: Option<String>,
    pub(crate) ssh_local_port: Option<i64>,
    pub(crate) ssh_load_dot_ssh_pub_keys: Option<bool>,
    pub(crate) ssh_forward_agent: Option<bool>,
    pub(crate) legacy_bios: Option<bool>,
    pub(crate) video_display: Option<String>,
    pub(crate) provision: Vec<Provision>,
    pub(crate) upgrade_packages: Option<bool>,
    pub(crate) guest_install_prefix: Option<String>,
    pub(crate) probes: Vec<Probe>,
    pub(crate) port_forwards: Vec<PortForward>,
    pub(crate) copy_to_host: Vec<CopyToHost>,
    pub(crate) message: Option<String>,
    pub(crate) networks: usize,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) param: BTreeMap<String, String>,
    pub(crate) dns: Vec<String>,
    pub(crate) host_resolver: Option<bool>,
    pub(crate) host_resolver_hosts: BTreeMap<String, String>,
    pub(crate) propagate_proxy_env: Option<bool>,
    pub(crate) ca_remove_defaults: Option<bool>,
    pub(crate) ca_files: Vec<String>,
    pub(crate) ca_certs: Vec<String>,
    pub(crate) plain: Option<bool>,
    pub(crate) timezone: Option<String>,
    pub(crate) user: User,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    pub(crate) location: Option<String>,
    pub(crate) arch: Option<String>,
    pub(crate) digest: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    pub(crate) file: File,
    pub(crate) kernel: Option<(File, String)>,
    pub(crate) initrd: Option<File>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) name: String,
    pub(crate) format: Option<bool>,
    pub(crate) fs_type: Option<String>,
    pub(crate) fs_args: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Mount {
    pub(crate) location: Option<String>,
    pub(crate) mount_point: Option<String>,
    pub(crate) writable: Option<bool>,
    pub(crate) security_model: Option<String>,
    pub(crate) protocol_version: Option<String>,
    pub(crate) msize: Option<String>,
    pub(crate) cache: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Provision {
    pub(crate) mode: Option<String>,
    pub(crate) script: Option<String>,
    pub(crate) has_file: bool,
    pub(crate) skip_default_dependency_resolution: Option<bool>,
    pub(crate) content: Option<String>,
    pub(crate) overwrite: Option<bool>,
    pub(crate) owner: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) permissions: Option<String>,
    pub(crate) expression: Option<String>,
    pub(crate) format: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Probe {
    pub(crate) mode: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) script: Option<String>,
    pub(crate) has_file: bool,
    pub(crate) hint: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct PortForward {
    pub(crate) guest_ip_must_be_zero: Option<bool>,
    pub(crate) guest_ip: Option<String>,
    pub(crate) guest_port: Option<i64>,
    pub(crate) guest_port_range: Vec<i64>,
    pub(crate) guest_socket: Option<String>,
    pub(crate) host_ip: Option<String>,
    pub(crate) host_port: Option<i64>,
    pub(crate) host_port_range: Vec<i64>,
    pub(crate) host_socket: Option<String>,
    pub(crate) proto: Option<String>,
    pub(crate) reverse: Option<bool>,
    pub(crate) ignore: Option<bool>,
    pub(crate) is_static: Option<bool>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct CopyToHost {
    pub(crate) guest: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) delete_on_stop: Option<bool>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct User {
    pub(crate) name: Option<String>,
    pub(crate) comment: Option<String>,
    pub(crate) home: Option<String>,
    pub(crate) shell: Option<String>,
    pub(crate) uid: Option<i64>,
}

/// `default` and the empty text mean the default, in the fields where Lima says so.
fn not_default(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty() && text != "default")
}

/// Reads a whole document.
pub(crate) fn read(root: &Node<'_>) -> Document {
    root.object(read_document)
}

fn read_document(f: &mut Fields<'_>) -> Document {
    let mut d = Document {
        base: f.node("base").map_or(0, |_| 1),
        minimum_lima_version: f.text("minimumLimaVersion"),
        vm_type: not_default(f.text("vmType")),
        os: not_default(f.text("os")),
        arch: not_default(f.text("arch")),
        images: f.list("images", |node| node.object(read_image)),
        cpu_type: f.text_map("cpuType"),
        cpus: f.integer("cpus"),
        memory: not_default(f.text("memory")),
        disk: not_default(f.text("disk")),
        additional_disks: f.list("additionalDisks", read_disk),
        mounts: f.list("mounts", |node| node.object(read_mount)),
        mount_types_unsupported: f.texts("mountTypesUnsupported"),
        mount_type: not_default(f.text("mountType")),
        provision: f.list("provision", |node| node.object(read_provision)),
        upgrade_packages: f.flag("upgradePackages"),
        guest_install_prefix: f.text("guestInstallPrefix"),
        probes: f.list("probes", |node| node.object(read_probe)),
        port_forwards: f.list("portForwards", |node| node.object(read_forward)),
        copy_to_host: f.list("copyToHost", |node| node.object(read_copy)),
        message: f.text("message"),
        networks: f.list("networks", |_| ()).len(),
        env: f.text_map("env"),
        param: f.text_map("param"),
        dns: f.texts("dns"),
        propagate_proxy_env: f.flag("propagateProxyEnv"),
        plain: f.flag("plain"),
        timezone: f.text("timezone"),
        ..Document::default()
    };
    read_settings(f, &mut d);
    read_without_effect(f, &d);
    d
}

/// What is understood and checked, but not acted on yet.
fn read_without_effect(f: &mut Fields<'_>, d: &Document) {
    f.without_effect(&["copyToHost", "message"]);
    // That nothing is forwarded is what a rule to ignore a port asks for.
    if d.port_forwards.iter().any(|rule| rule.ignore != Some(true)) {
        f.without_effect(&["portForwards"]);
    }
    for key in ["nestedVirtualization", "mountInotify"] {
        f.flag(key);
        f.without_effect(&[key]);
    }
}

fn read_settings(f: &mut Fields<'_>, d: &mut Document) {
    f.object("vmOpts", |f| {
        f.object("qemu", |f| {
            d.qemu_minimum_version = f.text("minimumVersion");
            d.cpu_type.extend(f.text_map("cpuType"));
        });
        f.skip(&["vz", "wsl2", "fake"]);
    });
    f.object("ssh", |f| {
        d.ssh_local_port = f.integer("localPort");
        d.ssh_load_dot_ssh_pub_keys = f.flag("loadDotSSHPubKeys");
        d.ssh_forward_agent = f.flag("forwardAgent");
        for key in ["forwardX11", "forwardX11Trusted", "overVsock"] {
            f.flag(key);
            f.without_effect(&[key]);
        }
    });
    f.object("firmware", |f| {
        d.legacy_bios = f.flag("legacyBIOS");
        f.list("images", |_| ());
        f.without_effect(&["images"]);
    });
    f.object("audio", |f| {
        if not_default(f.text("device")).is_some_and(|device| device != "none") {
            f.without_effect(&["device"]);
        }
    });
    f.object("video", |f| {
        d.video_display = f.text("display").filter(|display| !display.is_empty());
        f.without_effect(&["vnc"]);
    });
    f.object("containerd", |f| {
        for key in ["system", "user"] {
            f.flag(key);
        }
        f.without_effect(&["system", "user", "archives"]);
    });
    f.object("hostResolver", |f| {
        d.host_resolver = f.flag("enabled");
        d.host_resolver_hosts = f.text_map("hosts");
        f.without_effect(&["ipv6"]);
    });
    f.object("caCerts", |f| {
        d.ca_remove_defaults = f.flag("removeDefaults");
        d.ca_files = f.texts("files");
        d.ca_certs = f.texts("certs");
    });
    f.object("rosetta", |f| {
        f.flag("enabled");
        f.without_effect(&["enabled", "binfmt"]);
    });
    d.user = f.object("user", |f| User {
        name: f.text("name").filter(|name| !name.is_empty()),
        comment: f.text("comment"),
        home: f.text("home").filter(|home| !home.is_empty()),
        shell: f.text("shell").filter(|shell| !shell.is_empty()),
        uid: f.integer("uid"),
    });
}

fn read_file(f: &mut Fields<'_>) -> File {
    File { location: f.text("location"), arch: not_default(f.text("arch")), digest: f.text("digest") }
}

fn read_image(f: &mut Fields<'_>) -> Image {
    Image {
        file: read_file(f),
        kernel: f.node("kernel").map(|node| node.object(|f| (read_file(f), f.text("cmdline").unwrap_or_default()))),
        initrd: f.node("initrd").map(|node| node.object(read_file)),
    }
}

fn read_disk(node: Node<'_>) -> Disk {
    if let Some(name) = node.shorthand() {
        return Disk { name, ..Disk::default() };
    }
    node.object(|f| Disk {
        name: f.text("name").unwrap_or_default(),
        format: f.flag("format"),
        fs_type: f.text("fsType"),
        fs_args: f.texts("fsArgs"),
    })
}

fn read_mount(f: &mut Fields<'_>) -> Mount {
    let mut mount = Mount {
        location: f.text("location"),
        mount_point: f.text("mountPoint"),
        writable: f.flag("writable"),
        ..Mount::default()
    };
    f.object("9p", |f| {
        mount.security_model = f.text("securityModel");
        mount.protocol_version = f.text("protocolVersion");
        mount.msize = f.text("msize");
        mount.cache = f.text("cache");
    });
    f.without_effect(&["sshfs", "virtiofs"]);
    mount
}

fn read_provision(f: &mut Fields<'_>) -> Provision {
    f.without_effect(&["playbook"]);
    Provision {
        mode: f.text("mode"),
        script: f.text("script"),
        has_file: f.node("file").is_some(),
        skip_default_dependency_resolution: f.flag("skipDefaultDependencyResolution"),
        content: f.text("content"),
        overwrite: f.flag("overwrite"),
        owner: f.text("owner"),
        path: f.text("path"),
        permissions: f.text("permissions"),
        expression: f.text("expression"),
        format: f.text("format"),
    }
}

fn read_probe(f: &mut Fields<'_>) -> Probe {
    Probe {
        mode: f.text("mode"),
        description: f.text("description").filter(|text| !text.is_empty()),
        script: f.text("script"),
        has_file: f.node("file").is_some(),
        hint: f.text("hint"),
    }
}

fn read_forward(f: &mut Fields<'_>) -> PortForward {
    PortForward {
        guest_ip_must_be_zero: f.flag("guestIPMustBeZero"),
        guest_ip: f.text("guestIP").filter(|ip| !ip.is_empty()),
        guest_port: f.integer("guestPort"),
        guest_port_range: read_range(f, "guestPortRange"),
        guest_socket: f.text("guestSocket"),
        host_ip: f.text("hostIP").filter(|ip| !ip.is_empty()),
        host_port: f.integer("hostPort"),
        host_port_range: read_range(f, "hostPortRange"),
        host_socket: f.text("hostSocket"),
        proto: f.text("proto").filter(|proto| !proto.is_empty()),
        reverse: f.flag("reverse"),
        ignore: f.flag("ignore"),
        is_static: f.flag("static"),
    }
}

fn read_range(f: &mut Fields<'_>, key: &'static str) -> Vec<i64> {
    f.list(key, |node| node.whole()).into_iter().flatten().collect()
}

fn read_copy(f: &mut Fields<'_>) -> CopyToHost {
    CopyToHost { guest: f.text("guest"), host: f.text("host"), delete_on_stop: f.flag("deleteOnStop") }
}
