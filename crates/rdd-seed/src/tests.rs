//! What seeds look like, and what their scripts do.

use std::path::{Path, PathBuf};

use rdd_machine::config::{AdditionalDisk, Arch, Mount, NineP, Provision, ProvisionMode};
use rdd_machine::{MachineConfig, MachineName};

use crate::{Seed, SeedInputs, build, iso9660};

fn step(mode: ProvisionMode, text: &str) -> Provision {
    Provision {
        mode,
        text: text.into(),
        path: String::new(),
        owner: String::new(),
        permissions: String::new(),
        overwrite: true,
        format: String::new(),
        skip_default_dependency_resolution: false,
    }
}

fn config() -> MachineConfig {
    let name = MachineName::new("demo").expect("a good name");
    let mut c = MachineConfig::new(name, "/l/demo".into(), "qemu");
    c.arch = Arch::X86_64;
    c.user.name = "nova".into();
    c.user.comment = "Nova \"N\" Example".into();
    c.user.home = "/home/nova.guest".into();
    c.timezone = "Europe/Berlin".into();
    c.mount_type = "9p".into();
    c.mounts = vec![Mount {
        location: "/home/nova".into(),
        mount_point: "/mnt/host home".into(),
        writable: true,
        tag: "lima-0123456789abcdef".into(),
        nine_p: NineP::default(),
    }];
    c.param.insert("WHO".into(), "it's me".into());
    c.env.insert("EDITOR".into(), "vi".into());
    c.provision = vec![
        step(ProvisionMode::System, "#!/bin/sh\necho system\n"),
        step(ProvisionMode::Boot, "touch /run/early"),
        Provision {
            path: "/etc/demo".into(),
            owner: "root:root".into(),
            permissions: "644".into(),
            overwrite: false,
            ..step(ProvisionMode::Data, "content\n")
        },
        step(ProvisionMode::User, "#!/bin/sh\necho user\n"),
    ];
    c.additional_disks = vec![AdditionalDisk {
        name: "data".into(),
        format: true,
        fs_type: String::new(),
        fs_args: vec!["-m".into(), "0".into()],
    }];
    c
}

fn inputs() -> SeedInputs {
    SeedInputs {
        ssh_public_keys: vec!["ssh-ed25519 AAAA lima".into()],
        instance_id: "iid-demo".into(),
        boot_token: "token-1".into(),
        host_home: Some("/home/nova".into()),
        now: 1_795_405_000,
        ..SeedInputs::default()
    }
}

fn text(seed: &Seed, path: &str) -> String {
    String::from_utf8(seed.files[path].contents.clone()).expect("utf-8")
}

#[test]
fn the_files_of_a_seed() {
    let seed = build(&config(), &inputs());
    let names: Vec<&str> =
        seed.files.keys().map(String::as_str).filter(|name| !name.starts_with("boot.Linux/")).collect();
    assert_eq!(
        names,
        [
            "boot.sh",
            "etc_environment",
            "etc_hosts",
            "lima.env",
            "meta-data",
            "network-config",
            "param.env",
            "provision.data/00000002",
            "provision.system/00000000",
            "provision.user/00000003",
            "ssh_authorized_keys",
            "user-data",
        ]
    );
    assert!(seed.files["boot.sh"].executable && seed.files["provision.system/00000000"].executable);
    assert!(!seed.files["provision.data/00000002"].executable);
    assert_eq!(text(&seed, "etc_environment"), "#LIMA-START\nEDITOR=vi\n#LIMA-END\n");
    assert_eq!(text(&seed, "etc_hosts"), "192.168.5.2 host.lima.internal\n");
    assert_eq!(text(&seed, "param.env"), "PARAM_WHO=it's me\n");
    let meta = text(&seed, "meta-data");
    assert!(meta.starts_with("instance-id: iid-demo-") && meta.ends_with("\nlocal-hostname: lima-demo\n"), "{meta}");
    assert_eq!(
        text(&seed, "network-config"),
        "version: 2\nethernets:\n  eth0:\n    match:\n      macaddress: '52:55:55:00:00:01'\n    dhcp4: true\n    \
         set-name: eth0\n    dhcp4-overrides:\n      route-metric: 200\n    dhcp-identifier: mac\n    \
         nameservers:\n      addresses:\n      - 192.168.5.3\n"
    );
}

#[test]
fn lima_env_has_the_keys_that_scripts_of_others_may_read() {
    let env = text(&build(&config(), &inputs()), "lima.env");
    for line in [
        "DEBUG=false",
        "IID=token-1",
        "NAME=demo",
        "USER=nova",
        "UID=1000",
        "COMMENT=Nova \"N\" Example",
        "HOME=/home/nova.guest",
        "SHELL=/bin/bash",
        "HOSTHOME_MOUNTPOINT=/mnt/host home",
        "MOUNTS=1",
        "MOUNTS_0_MOUNTPOINT=/mnt/host home",
        "MOUNTS_0_TAG=lima-0123456789abcdef",
        "MOUNTS_0_OPTIONS=rw,trans=virtio,version=9p2000.L,msize=131072,cache=fscache,nofail",
        "MOUNTTYPE=9p",
        "DISKS=1",
        "DISK_0_NAME=data",
        "DISK_0_DEVICE=disk/by-id/virtio-lima-disk-0",
        "DISK_0_FSARGS=-m 0",
        "DATAFILE_00000002_OVERWRITE=false",
        "DATAFILE_00000002_PATH=/etc/demo",
        "SLIRP_GATEWAY=192.168.5.2",
        "SLIRP_DNS=192.168.5.3",
        "SLIRP_IP_ADDRESS=192.168.5.15",
        "VMTYPE=qemu",
        "PLAIN=",
        "NO_CLOUD_INIT=",
    ] {
        let line = format!("LIMA_CIDATA_{line}");
        assert!(env.lines().any(|found| found == line), "{line} is not in\n{env}");
    }
}

#[test]
fn user_data_is_what_cloud_init_reads() {
    let mut c = config();
    c.ca_certs.certs.push("-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n".into());
    c.dns = vec!["1.1.1.1".parse().expect("an address")];
    c.host_resolver = false;
    let seed = build(&c, &inputs());
    let user_data = text(&seed, "user-data");
    assert!(user_data.starts_with("#cloud-config\n"));
    let y: serde_json::Value = serde_saphyr::from_str(&user_data).expect("YAML");
    let user = &y["users"][0];
    assert_eq!(user["name"], "nova");
    assert_eq!(user["gecos"], "Nova \"N\" Example");
    assert_eq!(user["uid"], 1000);
    assert_eq!(user["sudo"], "ALL=(ALL) NOPASSWD:ALL");
    assert_eq!(user["ssh_authorized_keys"][0], "ssh-ed25519 AAAA lima");
    assert_eq!(y["users"].as_array().map(Vec::len), Some(1));
    assert_eq!(y["mounts"][0][0], "lima-0123456789abcdef");
    assert_eq!(y["mounts"][0][1], "/mnt/host\\040home");
    assert_eq!(y["mounts"][0][2], "9p");
    assert_eq!(y["bootcmd"][0], "export PARAM_WHO='it'\\''s me'\ntouch /run/early");
    assert_eq!(y["timezone"], "Europe/Berlin");
    assert_eq!(y["ca_certs"]["trusted"][0].as_str().map(str::len), Some(58));
    assert_eq!(y["resolv_conf"]["nameservers"][0], "1.1.1.1");
    let script = y["write_files"][0]["content"].as_str().expect("a script");
    assert_eq!(script, include_str!("../guest/00-lima.boot.sh"));
    assert_eq!(y["write_files"][0]["path"], "/var/lib/cloud/scripts/per-boot/00-lima.boot.sh");
    let shown = crate::cloud_config(&c, &inputs());
    let _: serde_json::Value = serde_saphyr::from_str(&shown).expect("YAML");
    assert!(!shown.contains("write_files") && !shown.contains("mounts:"));
}

#[test]
fn the_hosts_name_servers_make_no_new_instance() {
    let mut c = config();
    c.host_resolver = false;
    let with = |servers: &[&str]| {
        let host_dns = servers.iter().map(|text| text.parse().expect("an address")).collect();
        build(&c, &SeedInputs { host_dns, ..inputs() })
    };
    let (home, cafe, offline) = (with(&["10.0.0.1"]), with(&["10.9.9.9", "10.9.9.8"]), with(&[]));
    for (seed, servers) in [(&home, "10.0.0.1"), (&cafe, "10.9.9.9\n      - 10.9.9.8"), (&offline, "192.168.5.3")] {
        assert_eq!(text(seed, "meta-data"), text(&home, "meta-data"), "{servers}");
        let network = text(seed, "network-config");
        assert!(network.ends_with(&format!("addresses:\n      - {servers}\n")), "{network}");
        assert!(text(seed, "user-data").contains("\nupdates:\n  network:\n    when: [boot-new-instance, boot]\n"));
    }
    assert!(!text(&build(&config(), &inputs()), "user-data").contains("updates:"));
}

#[test]
fn the_instance_id_changes_with_what_is_done_once_and_not_with_the_boot() {
    let first = text(&build(&config(), &inputs()), "meta-data");
    let next_boot = SeedInputs { boot_token: "token-2".into(), now: 1_795_409_999, ..inputs() };
    assert_eq!(text(&build(&config(), &next_boot), "meta-data"), first);
    let mut provisioned = config();
    provisioned.provision[0].text = "#!/bin/sh\necho other\n".into();
    assert_eq!(text(&build(&provisioned, &inputs()), "meta-data"), first);
    let mut renamed = config();
    renamed.user.name = "other".into();
    assert_ne!(text(&build(&renamed, &inputs()), "meta-data"), first);
    let other_key = SeedInputs { ssh_public_keys: vec!["ssh-ed25519 BBBB".into()], ..inputs() };
    assert_ne!(text(&build(&config(), &other_key), "meta-data"), first);
    let mut moved = config();
    moved.mac_address = "52:55:55:00:00:02".into();
    assert_ne!(text(&build(&moved, &inputs()), "meta-data"), first);
}

#[test]
fn proxies_of_the_host_reach_the_guest() {
    let mut c = config();
    c.env.insert("HTTP_PROXY".into(), "http://template:1".into());
    let proxies = [("http_proxy", "http://localhost:3128"), ("NO_PROXY", "a.example"), ("https_proxy", "")];
    let proxy_env = proxies.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let with = SeedInputs { proxy_env, ..inputs() };
    let env = text(&build(&c, &with), "etc_environment");
    let expected = "#LIMA-START\nEDITOR=vi\nHTTP_PROXY=http://192.168.5.2:3128\nNO_PROXY=a.example\n\
                    http_proxy=http://192.168.5.2:3128\nno_proxy=a.example\n#LIMA-END\n";
    assert_eq!(env, expected);
    c.propagate_proxy_env = false;
    assert!(text(&build(&c, &with), "etc_environment").contains("http_proxy=http://template:1\n"));
}

#[test]
fn fixed_names_are_followed_to_an_address() {
    let mut c = config();
    let hosts = [
        ("a.test", "b.test"),
        ("b.test", "10.0.0.9"),
        ("c.test", "host.lima.internal"),
        ("d.test", "d.test"),
        ("e.test", "example.com"),
    ];
    c.host_resolver_hosts = hosts.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let expected = "192.168.5.2 host.lima.internal\n10.0.0.9 a.test\n10.0.0.9 b.test\n192.168.5.2 c.test\n";
    assert_eq!(text(&build(&c, &inputs()), "etc_hosts"), expected);
}

/// A tiny reader of ISO 9660 with Rock Ridge: path, mode, contents.
fn read_iso(image: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
    fn u32_at(bytes: &[u8], at: usize) -> usize {
        u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize
    }
    fn read_directory(image: &[u8], sector: usize, size: usize, path: &str, found: &mut Vec<(String, u32, Vec<u8>)>) {
        let extent = &image[sector * 2048..][..size];
        let mut at = 0;
        while at < size {
            let length = extent[at] as usize;
            if length == 0 {
                at = (at / 2048 + 1) * 2048;
                continue;
            }
            let record = &extent[at..at + length];
            at += length;
            let id = &record[33..33 + record[32] as usize];
            if id == [0] || id == [1] {
                continue;
            }
            let mut susp = &record[(33 + id.len()).next_multiple_of(2)..];
            let (mut name, mut mode) = (String::new(), 0);
            while susp.len() >= 4 {
                let entry = &susp[..susp[2] as usize];
                match &entry[..2] {
                    b"NM" => name = String::from_utf8(entry[5..].to_vec()).expect("utf-8"),
                    b"PX" => mode = u32_at(entry, 4) as u32,
                    _ => {}
                }
                susp = &susp[entry.len()..];
            }
            let (sector, size) = (u32_at(record, 2), u32_at(record, 10));
            let path = format!("{path}{name}");
            if record[25] & 2 != 0 {
                read_directory(image, sector, size, &format!("{path}/"), found);
            } else {
                found.push((path, mode, image[sector * 2048..][..size].to_vec()));
            }
        }
    }
    assert_eq!(&image[16 * 2048 + 1..][..5], b"CD001");
    assert_eq!(&image[16 * 2048 + 40..][..8], b"cidata  ");
    assert_eq!(u32_at(image, 16 * 2048 + 80) * 2048, image.len());
    let root = &image[16 * 2048 + 156..];
    let mut found = Vec::new();
    read_directory(image, u32_at(root, 2), u32_at(root, 10), "", &mut found);
    found
}

#[test]
fn the_image_has_all_files_with_their_modes() {
    let mut c = config();
    // Enough entries for a directory of several sectors, and a file of several sectors.
    c.provision.extend((0..60).map(|_| step(ProvisionMode::System, &"#!/bin/sh\n".repeat(700))));
    c.provision.push(step(ProvisionMode::System, ""));
    let seed = build(&c, &inputs());
    let mut found = read_iso(&iso9660(&seed));
    found.sort();
    assert_eq!(found.len(), seed.files.len());
    for ((path, mode, contents), (name, file)) in found.iter().zip(&seed.files) {
        assert_eq!((path, contents), (name, &file.contents));
        assert_eq!(*mode, if file.executable { 0o100_700 } else { 0o100_600 }, "{path}");
    }
}

/// Where a test plays the guest: `/run` and `/etc` are redirected in the texts of the scripts.
struct Guest {
    root: tempfile::TempDir,
}

impl Guest {
    fn new(seed: &Seed) -> Self {
        let guest = Self { root: tempfile::tempdir().expect("a directory") };
        for directory in ["run", "etc/ssh", "home", "seed", "bin"] {
            std::fs::create_dir_all(guest.path(directory)).expect("a directory");
        }
        for (path, file) in &seed.files {
            let target = guest.path("seed").join(path);
            std::fs::create_dir_all(target.parent().expect("a parent")).expect("a directory");
            let text = String::from_utf8(file.contents.clone()).expect("utf-8");
            let root = guest.root.path().display();
            let moved = text.replace("/run/", &format!("{root}/run/")).replace("/etc/", &format!("{root}/etc/"));
            std::fs::write(&target, moved).expect("written");
            #[cfg(unix)]
            if file.executable {
                use std::os::unix::fs::PermissionsExt;
                std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o700)).expect("executable");
            }
        }
        guest
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|e| format!("({name}: {e})"))
    }

    fn boot(&self, shell: &[&str]) -> (Option<i32>, String) {
        let output = std::process::Command::new(shell[0])
            .args(&shell[1..])
            .arg(self.path("seed/boot.sh"))
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LIMA_CIDATA_MNT", self.path("seed"))
            .output()
            .expect("sh runs");
        let log = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&log).into_owned())
    }
}

/// The shells that guests have, as far as this host has them too.
fn shells() -> Vec<&'static [&'static str]> {
    let all: [&[&str]; 3] = [&["sh"], &["bash", "--posix"], &["busybox", "sh"]];
    let works =
        |shell: &&[&str]| std::process::Command::new(shell[0]).args(&shell[1..]).args(["-c", "true"]).output().is_ok();
    all.into_iter().filter(works).collect()
}

fn plain_config(root: &Path) -> MachineConfig {
    let mut c = config();
    c.plain = true;
    c.mounts.clear();
    c.additional_disks.clear();
    c.user.home = root.join("home").display().to_string();
    c
}

#[cfg(unix)]
#[test]
fn boot_leaves_its_marks_even_when_scripts_fail() {
    for shell in shells() {
        check_marks(shell);
    }
}

#[cfg(unix)]
fn check_marks(shell: &[&str]) {
    let place = tempfile::tempdir().expect("a directory");
    let owner = {
        use std::os::unix::fs::MetadataExt;
        let data = std::fs::metadata(place.path()).expect("metadata");
        format!("{}:{}", data.uid(), data.gid())
    };
    let data = |path: PathBuf, overwrite| Provision {
        path: path.display().to_string(),
        owner: owner.clone(),
        permissions: "640".into(),
        overwrite,
        ..step(ProvisionMode::Data, "content\n")
    };
    let out = place.path().join("out");
    let kept = place.path().join("kept");
    std::fs::write(&kept, "mine").expect("written");
    let mut c = plain_config(place.path());
    c.env.insert("GREETING".into(), "hello \"$HOME\" there".into());
    c.provision = vec![
        step(ProvisionMode::System, "#!/bin/sh\nexit 3\n"),
        step(
            ProvisionMode::System,
            &format!("#!/bin/sh\necho \"$PARAM_WHO|$GREETING|$LIMA_CIDATA_NAME\" >{}\n", out.display()),
        ),
        data(place.path().join("new/dir/file"), true),
        data(kept.clone(), false),
        data(PathBuf::from("/proc/cannot/be/made"), true),
    ];
    let guest = Guest::new(&build(&c, &inputs()));
    let (code, log) = guest.boot(shell);
    assert_eq!(code, Some(1), "{log}");
    assert_eq!(guest.read("run/lima-boot-done"), "token-1\n", "{log}");
    assert_eq!(guest.read("run/lima-ssh-ready"), "token-1\n", "{log}");
    assert_eq!(
        guest.read("run/lima-boot-failures"),
        "1 provision.data/00000004\n3 provision.system/00000000\n",
        "{log}"
    );
    assert_eq!(std::fs::read_to_string(&out).expect("the script ran"), "it's me|hello \"$HOME\" there|demo\n", "{log}");
    assert_eq!(
        std::fs::read_to_string(place.path().join("new/dir/file")).expect("the file is there"),
        "content\n",
        "{log}"
    );
    assert_eq!(std::fs::read_to_string(&kept).expect("the file is there"), "mine");

    c.provision.clear();
    let next = Guest::new(&build(&c, &SeedInputs { boot_token: "token-2".into(), ..inputs() }));
    std::fs::write(next.path("run/lima-boot-failures"), "1 old\n").expect("written");
    let (code, log) = next.boot(shell);
    assert_eq!((code, next.read("run/lima-boot-failures").as_str()), (Some(0), ""), "{log}");
    assert_eq!(next.read("run/lima-boot-done"), "token-2\n");
}

#[cfg(unix)]
#[test]
fn environment_and_hosts_are_merged_once() {
    let mut c = plain_config(Path::new("/"));
    c.provision.clear();
    let guest = Guest::new(&build(&c, &inputs()));
    std::fs::write(guest.path("etc/environment"), "PATH=/bin\n#LIMA-START\nOLD=1\n#LIMA-END\nLANG=C\n")
        .expect("written");
    std::fs::write(guest.path("etc/hosts"), "127.0.0.1 localhost\n").expect("written");
    for _ in 0..2 {
        for script in ["06-etc-hosts.sh", "07-etc-environment.sh"] {
            let status = std::process::Command::new("sh")
                .arg(guest.path("seed/boot.Linux").join(script))
                .env("LIMA_CIDATA_MNT", guest.path("seed"))
                .env("LIMA_CIDATA_IID", "token-1")
                .env("LIMA_CIDATA_USER", "nobody-at-all")
                .status()
                .expect("sh runs");
            assert!(status.success(), "{script}");
        }
        assert_eq!(guest.read("etc/environment"), "PATH=/bin\nLANG=C\n#LIMA-START\nEDITOR=vi\n#LIMA-END\n");
        assert_eq!(
            guest.read("etc/hosts"),
            "127.0.0.1 localhost\n#LIMA-START\n192.168.5.2 host.lima.internal\n#LIMA-END\n"
        );
        assert_eq!(guest.read("run/lima-ssh-ready"), "token-1\n");
    }
}

#[cfg(unix)]
#[test]
fn every_script_is_good_shell() {
    let seed = build(&config(), &inputs());
    let guest = Guest::new(&seed);
    for path in seed.files.keys().filter(|path| path.ends_with(".sh")) {
        let status = std::process::Command::new("sh").arg("-n").arg(guest.path("seed").join(path)).status();
        assert!(status.expect("sh runs").success(), "{path}");
    }
}

/// Another program's opinion, where it is installed.
#[cfg(unix)]
#[test]
fn xorriso_reads_the_image() {
    let seed = build(&config(), &inputs());
    let place = tempfile::tempdir().expect("a directory");
    let image = place.path().join("cidata.iso");
    std::fs::write(&image, iso9660(&seed)).expect("written");
    let output = std::process::Command::new("xorriso")
        .args(["-indev"])
        .arg(&image)
        .args(["-pvd_info", "-osirrox", "on", "-extract", "/"])
        .arg(place.path().join("out"))
        .output();
    let Ok(output) = output else {
        // `cargo xtask test` has everything installed; there, a test that does nothing has failed.
        assert!(std::env::var_os("RDD_TEST_REQUIRE").is_none(), "xorriso is not installed");
        eprintln!("skipped: xorriso is not installed");
        return;
    };
    let log = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{log}");
    assert!(log.contains("Volume Id    : cidata"), "{log}");
    for (path, file) in &seed.files {
        use std::os::unix::fs::PermissionsExt;
        let extracted = place.path().join("out").join(path);
        assert_eq!(std::fs::read(&extracted).expect("extracted"), file.contents, "{path}");
        let mode = std::fs::metadata(&extracted).expect("metadata").permissions().mode() & 0o777;
        assert_eq!(mode, if file.executable { 0o700 } else { 0o600 }, "{path}");
    }
}
