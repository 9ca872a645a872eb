//! One table per subject: a template's text, and what must come of it.

use std::path::{Path, PathBuf};

use rdd_machine::config::{Arch, Protocol, ProvisionMode};
use rdd_machine::{MachineConfig, MachineName};

use crate::{HostFacts, HostOs, TemplateError, parse};

fn host() -> HostFacts {
    HostFacts {
        os: HostOs::Linux,
        arch: Arch::X86_64,
        cpus: 16,
        memory: 6 << 30,
        user: "nova".into(),
        uid: 1001,
        gecos: "Nova Example".into(),
        home: "/home/nova".into(),
        timezone: "Europe/Berlin".into(),
        machine_id: "0123".into(),
        global_temp_dir: "/tmp".into(),
        temp_dir: "/tmp".into(),
        drivers: vec!["qemu".into(), "fake".into()],
    }
}

fn resolve(text: &str) -> MachineConfig {
    let template = parse(text).expect("the template parses");
    let name = MachineName::new("demo.one").expect("a good name");
    template.resolve(&name, Path::new("/lima/demo.one"), &host()).expect("the template resolves")
}

const IMAGE: &str = "images: [{location: https://example.com/a.qcow2}]\n";

fn with_image(text: &str) -> MachineConfig {
    resolve(&format!("{IMAGE}{text}"))
}

/// Checks that a template has exactly these problems, in any order.
#[track_caller]
fn check_problems(text: &str, expected: &[&str]) {
    let found = match parse(text) {
        Err(TemplateError::Fields(errors)) => errors.to_string(),
        Err(other) => panic!("unexpected {other}"),
        Ok(template) => template.validate(&host()).err().map(|errors| errors.to_string()).unwrap_or_default(),
    };
    let mut found: Vec<&str> = found.lines().collect();
    let mut expected = expected.to_vec();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected, "for {text}");
}

#[test]
fn the_smallest_template_gets_the_defaults() {
    let c = with_image("");
    assert_eq!((c.vm_type.as_str(), c.arch, c.cpus), ("qemu", Arch::X86_64, 4));
    assert_eq!((c.memory, c.disk), (3 << 30, 100 << 30));
    assert_eq!(c.mount_type, "9p");
    assert_eq!((c.user.name.as_str(), c.user.uid, c.user.home.as_str()), ("nova", 1001, "/home/nova.guest"));
    assert_eq!((c.user.shell.as_str(), c.user.comment.as_str()), ("/bin/bash", "Nova Example"));
    assert_eq!(c.timezone, "Europe/Berlin");
    assert!(c.host_resolver && c.propagate_proxy_env && !c.plain && !c.upgrade_packages);
    assert_eq!(c.images[0].file.arch, Arch::X86_64);
    assert!(c.mac_address.starts_with("52:55:55:") && c.mac_address.len() == 17);
    assert_eq!(c.video_display, "none");
}

#[test]
fn scalars_may_be_written_in_several_ways() {
    for (text, memory) in [
        ("memory: 4GiB", 4 << 30),
        ("memory: \"512MiB\"", 512 << 20),
        ("memory: 6442450944", 6_442_450_944),
        ("memory: \"6442450944\"", 6_442_450_944),
        ("memory: default", 3 << 30),
        ("memory:", 3 << 30),
    ] {
        assert_eq!(with_image(text).memory, memory, "{text}");
    }
    assert_eq!(with_image("cpus: 0").cpus, 4);
    assert_eq!(with_image("cpus: \"2\"").cpus, 2);
    assert_eq!(with_image("os: default\narch: default\nvmType: default").vm_type, "qemu");
    assert_eq!(with_image("vmType: fake").vm_type, "fake");
    let minimum =
        |text: &str| with_image(&format!("vmOpts: {{qemu: {{minimumVersion: '{text}'}}}}")).qemu_minimum_version;
    assert_eq!((minimum("8.2.1"), minimum("")), (Some((8, 2, 1)), None));
    let c = with_image("env: {A: 1, B: true, C: 0755, D: yes, E: }");
    let env: Vec<_> = c.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(env, ["A=1", "B=true", "C=0755", "D=yes", "E="]);
    let c = with_image("provision: [{mode: data, path: /a, permissions: 0644, content: x}]");
    assert_eq!(c.provision[0].permissions, "0644");
    let c = with_image("additionalDisks: [data, {name: more, format: false}]");
    assert_eq!((c.additional_disks[0].format, c.additional_disks[1].format), (true, false));
}

#[test]
fn unknown_keys_are_warnings_with_their_paths() {
    let text =
        format!("{IMAGE}nonsense: 1\nssh: {{forwardAgent: true, speed: 3}}\nmounts: [{{location: /a, colour: red}}]");
    let template = parse(&text).expect("parses");
    let expected = ["unknown field `ssh.speed`", "unknown field `mounts[0].colour`", "unknown field `nonsense`"];
    for warning in expected {
        assert!(template.warnings().iter().any(|w| w == warning), "{:?}", template.warnings());
    }
    assert_eq!(template.warnings().len(), 3);
    let template = parse(&format!("{IMAGE}containerd: {{user: true}}\nuser: {{home: '/h/{{{{.X'}}")).expect("parses");
    assert_eq!(template.warnings()[0], "field `containerd.user` has no effect");
    assert!(template.warnings()[1].starts_with("field `user.home` is no template that can be read"));
}

#[test]
fn fields_without_effect_are_warnings() {
    for (text, fields) in [
        ("portForwards: [{guestPort: 80, hostPort: 8080}]", "portForwards"),
        ("portForwards: [{guestPort: 80, ignore: true}]", ""),
        ("copyToHost: [{guest: /a, host: '{{.Dir}}/a'}]", "copyToHost"),
        ("message: hello", "message"),
        ("containerd: {system: true, archives: [{location: /a}]}", "containerd.system containerd.archives"),
        ("containerd: {system: false, user: false, archives: []}", ""),
        ("mounts: [{location: /a}, {location: /b, sshfs: {cache: true}}]", "mounts[1].sshfs"),
        ("mounts: [{location: /a, virtiofs: {queueSize: 4}}]", "mounts[0].virtiofs"),
        ("provision: [{mode: ansible, playbook: x.yml}]", "provision[0].playbook"),
        ("video: {display: none, vnc: {display: '127.0.0.1:1'}}", "video.vnc"),
        ("hostResolver: {ipv6: true}", "hostResolver.ipv6"),
        ("ssh: {forwardX11: true, overVsock: false}", "ssh.forwardX11"),
        ("audio: {device: default}\nrosetta: {enabled: false}\nfirmware: {images: []}\nmessage: ''", ""),
        ("nestedVirtualization: true\nmountInotify: false", "nestedVirtualization"),
    ] {
        let template = parse(&format!("{IMAGE}{text}")).expect("parses");
        let expected: Vec<_> =
            fields.split_whitespace().map(|field| format!("field `{field}` has no effect")).collect();
        assert_eq!(template.warnings(), expected, "{text}");
    }
}

#[test]
fn syntax_errors_have_a_place() {
    for (text, line) in [("images: [\n  {a: b}\nx: y: z\n", 3), ("a: 1\na: 2\n", 2), ("a: 'b\n", 1)] {
        match parse(text) {
            Err(TemplateError::Syntax { line: found, message, .. }) => {
                assert!(found >= line, "{text:?}: line {found}: {message}");
                assert!(!message.is_empty() && !message.contains('\n'), "{message:?}");
            }
            other => panic!("{text:?} gave {other:?}"),
        }
    }
    for text in [": : :", "images: []\n: x", "a: {null: x}", "? \n: b", "~: b"] {
        let error = parse(text).expect_err(text).to_string();
        assert!(error.ends_with("a key must be a text; before this ':' it is empty or null"), "{text:?}: {error}");
    }
    assert_eq!(
        parse("just words").expect_err("no mapping").to_string(),
        "the template must be a mapping, got \"just words\""
    );
}

#[test]
fn wrong_types_are_all_found() {
    check_problems(
        "cpus: four\nplain: 3\nmounts: {}\nimages: [7]\nenv: [a]",
        &[
            "field `cpus` must be a whole number, got \"four\"",
            "field `plain` must be true or false, got 3",
            "field `mounts` must be a list, got a mapping",
            "field `images[0]` must be a mapping, got 7",
            "field `env` must be a mapping, got a list",
        ],
    );
    check_problems(&format!("{IMAGE}plain: yes"), &["field `plain` must be true or false, got \"yes\""]);
}

#[test]
fn values_that_cannot_be_used() {
    let nothing: &[&str] = &[];
    let set = "field `images` must be set (hint: name at least one image, as in `images: [{location: ...}]`)";
    check_problems("", &[set]);
    check_problems("# only a comment\n", &[set]);
    check_problems(IMAGE, nothing);
    for (text, problem) in [
        ("base: template:x", "field `base` must be empty (hint: merge the base templates into this one)"),
        ("minimumLimaVersion: 2.1.2", ""),
        (
            "minimumLimaVersion: 3.0.0",
            "field `minimumLimaVersion` needs Lima 3.0.0, but templates are understood up to 2.1.2",
        ),
        ("vmType: vbox", "field `vmType` \"vbox\" is not a registered driver; registered: fake, qemu"),
        (
            "vmOpts: {qemu: {minimumVersion: new}}",
            "field `vmOpts.qemu.minimumVersion` must be a semantic version, got \"new\": unexpected character 'n' while parsing major version number",
        ),
        ("os: Plan9", "field `os` must be \"Linux\", got \"Plan9\""),
        ("arch: sparc", "field `arch` must be one of x86_64, aarch64, armv7l, ppc64le, riscv64, s390x; got \"sparc\""),
        ("cpus: -1", "field `cpus` must be a positive number, got -1"),
        (
            "memory: lots",
            "field `memory` has an invalid value: invalid size: \"lots\" (hint: as in \"4GiB\" or \"512MiB\")",
        ),
        ("disk: 0", "field `disk` must be greater than 0"),
        (
            "additionalDisks: [a/b]",
            "field `additionalDisks[0].name` is invalid: disk name \"a/b\" must be letters and digits, joined by single '.', '_' or '-'",
        ),
        ("additionalDisks: [a, a]", "field `additionalDisks[1].name` \"a\" is in the list already"),
        ("mountType: nfs", "field `mountType` must be one of reverse-sshfs, 9p, virtiofs, wsl2, got \"nfs\""),
        (
            "mountTypesUnsupported: [9p]\nmountType: 9p",
            "field `mountType` must not be \"9p\", which is in `mountTypesUnsupported`",
        ),
        ("mountTypesUnsupported: [9p]", ""),
        (
            "mounts: [{location: a}]",
            "field `mounts[0].location` must be an absolute path, got \"a\"|field `mounts[0].mountPoint` must be an absolute path, got \"a\"",
        ),
        (
            "mounts: [{location: /etc/passwd}]",
            "field `mounts[0].location` refers to a non-directory path: \"/etc/passwd\"",
        ),
        (
            "mounts: [{location: /not/there, mountPoint: /usr/}]",
            "field `mounts[0].mountPoint` must not be a system path such as /etc or /usr, got \"/usr/\"",
        ),
        (
            "mounts: [{location: /not/there, mountPoint: /home/nova.guest}]",
            "field `mounts[0].mountPoint` must not be the guest user's own home directory, \"/home/nova.guest\"",
        ),
        (
            "mounts: [{location: '~', mountPoint: '~/x'}]",
            "field `mounts[0].mountPoint` must not start with '~', got \"~/x\"",
        ),
        (
            "mounts: [{location: '~', 9p: {msize: x}}]",
            "field `mounts[0].9p.msize` has an invalid value: invalid size: \"x\" (hint: as in \"4GiB\" or \"512MiB\")",
        ),
        (
            "mounts: [{location: '~', 9p: {securityModel: 'none,path=/etc,readonly=off'}}]",
            "field `mounts[0].9p.securityModel` must be one of none, mapped-xattr, mapped-file, passthrough, got \"none,path=/etc,readonly=off\" (hint: none gives files the rights of the user who runs the VM)",
        ),
        ("mounts: [{location: '~', 9p: {securityModel: mapped-xattr, protocolVersion: 9p2000.L, cache: mmap}}]", ""),
        ("mounts: [{location: '~', 9p: {securityModel: '', protocolVersion: '', cache: ''}}]", ""),
        (
            "mounts: [{location: '~', 9p: {protocolVersion: 'a,suid'}}]",
            "field `mounts[0].9p.protocolVersion` must be made of letters, digits, '.', '=', '_' and '-', got \"a,suid\" (hint: as in \"9p2000.L\")",
        ),
        (
            "mounts: [{location: '~', 9p: {cache: 'mmap,suid'}}]",
            "field `mounts[0].9p.cache` must be made of letters, digits, '.', '=', '_' and '-', got \"mmap,suid\" (hint: as in \"mmap\")",
        ),
        (
            "mounts: [{location: '~', mountPoint: \"/a\\nnone /etc\"}]",
            "field `mounts[0].mountPoint` must not contain control characters, got \"/a\\nnone /etc\"",
        ),
        ("ssh: {localPort: 22}", "field `ssh.localPort` must not be 22"),
        ("ssh: {localPort: 65536}", "field `ssh.localPort` must be < 65536, got 65536"),
        ("ssh: {localPort: 0}", ""),
        ("provision: [{script: ''}]", "field `provision[0].script` must not be empty"),
        (
            "provision: [{mode: later, script: x}]",
            "field `provision[0].mode` must be one of system, user, boot, data, dependency, yq, got \"later\"",
        ),
        ("provision: [{mode: data, content: x}]", "field `provision[0].path` must not be empty"),
        (
            "provision: [{mode: data, content: x, path: a}]",
            "field `provision[0].path` must be an absolute path, got \"a\"",
        ),
        (
            "provision: [{mode: data, path: /a, permissions: '999'}]",
            "field `provision[0].permissions` must be an octal number, got \"999\"",
        ),
        ("provision: [{mode: yq, path: /a}]", "field `provision[0].expression` must not be empty"),
        (
            "provision: [{script: x, owner: root}]",
            "field `provision[0].owner` can only be set when mode is \"data\" or \"yq\", got \"system\"",
        ),
        (
            "provision: [{file: x.sh}]",
            "field `provision[0].file` must be empty (hint: put the text into `script`, `content` or `expression`)",
        ),
        ("provision: [{mode: ansible, playbook: x}]", ""),
        ("probes: [{script: echo}]", "field `probes[0].script` must start with a '#!' line"),
        (
            "probes: [{script: '#!/bin/sh', mode: liveness}]",
            "field `probes[0].mode` must be \"readiness\", got \"liveness\"",
        ),
        (
            "networks: [{lima: user-v2}]",
            "field `networks` must be empty: additional networks are not supported (hint: the guest always has a user-mode network with ports forwarded to the host)",
        ),
        ("dns: [1.1.1.1]", "field `dns` must be empty when field `hostResolver.enabled` is true"),
        ("dns: [one]\nhostResolver: {enabled: false}", "field `dns[0]` must be an IP address, got \"one\""),
        ("env: {A: \"x\\ny\"}", "field `env.A` must be a single line"),
        ("env: {A B: x}", "field `env` name \"A B\" does not match ^[a-zA-Z_][a-zA-Z0-9_]*$"),
        ("env: {1A: x}", "field `env` name \"1A\" does not match ^[a-zA-Z_][a-zA-Z0-9_]*$"),
        ("env: {A=B: x}", "field `env` name \"A=B\" does not match ^[a-zA-Z_][a-zA-Z0-9_]*$"),
        ("env: {'': x}", "field `env` name \"\" does not match ^[a-zA-Z_][a-zA-Z0-9_]*$"),
        ("env: {_a1: 'x y'}", ""),
        ("timezone: ../../etc/passwd", "field `timezone` must be a time zone's name, got \"../../etc/passwd\""),
        ("user: {name: root}", "field `user.name` must not be root (hint: scripts of mode `system` run as root)"),
        ("user: {uid: 0}", "field `user.uid` must be a user id other than 0, got 0"),
        ("user: {name: 'a b'}", "field `user.name` must be a login name, got \"a b\""),
        ("user: {home: x}", "field `user.home` must be an absolute path, got \"x\""),
        (
            "user: {shell: '/bin/sh:x'}",
            "field `user.shell` must not contain ':' or control characters, got \"/bin/sh:x\"",
        ),
        (
            "copyToHost: [{guest: a, host: '{{.Dir}}/a'}]",
            "field `copyToHost[0].guest` must be an absolute path, got \"a\"",
        ),
        (
            "caCerts: {files: [/not/there.pem]}",
            "field `caCerts.files[0]` cannot be read: \"/not/there.pem\": No such file or directory (os error 2)",
        ),
    ] {
        let expected: Vec<&str> = problem.split('|').filter(|p| !p.is_empty()).collect();
        check_problems(&format!("{IMAGE}{text}"), &expected);
    }
}

#[test]
fn images_and_what_is_beside_them() {
    let good = format!("images: [{{location: ~/a.img, arch: aarch64, digest: 'sha256:{}'}}]", "a".repeat(64));
    assert_eq!(resolve(&good).images[0].file.location, "/home/nova/a.img");
    check_problems(
        "images: [{location: a.img, digest: 'sha256:zz'}, {arch: x86_64}, {location: 'ftp://x/y', digest: 'md5:1'}]",
        &[
            "field `images[0].location` must be a URL or an absolute path, got \"a.img\"",
            "field `images[0].digest` is invalid: \"sha256:zz\" must have 64 lower-case hexadecimal digits",
            "field `images[1].location` must not be empty",
            "field `images[2].location` has the unknown scheme \"ftp\" (hint: http, https, file or a local path)",
            "field `images[2].digest` is invalid: \"md5:1\" (hint: as in \"sha256:\" and 64 hexadecimal digits)",
        ],
    );
    let c = resolve(
        "arch: aarch64\nvmType: qemu\nimages: [{location: /a, kernel: {location: /k, cmdline: root=x}, initrd: {location: /i}}]",
    );
    let kernel = c.images[0].kernel.as_ref().expect("a kernel");
    assert_eq!((kernel.file.arch, kernel.cmdline.as_str()), (Arch::Aarch64, "root=x"));
    check_problems(
        "images: [{location: /a, kernel: {location: /k, arch: aarch64}}]",
        &["field `images[0].kernel.arch` must be the image's, \"x86_64\", got \"aarch64\""],
    );
}

#[test]
fn parameters() {
    let used = "param: {A: b, C: d}\nprovision: [{script: 'echo {{ printf \"%q\" .Param.A }} $PARAM_C'}]";
    assert_eq!(with_image(used).provision[0].text, "echo \"b\" $PARAM_C");
    check_problems(
        &format!("{IMAGE}param: {{ABC: x, D: y}}\nprovision: [{{script: 'echo $PARAM_ABCD {{{{.Param.D}}}}'}}]"),
        &["field `param` key \"ABC\" is not used in any provision, probe, copyToHost, or portForward"],
    );
    check_problems(
        &format!("{IMAGE}param: {{A-B: x, C: \"a\\u0007\"}}\nprovision: [{{script: '{{{{.Param.A-B}}}} PARAM_C'}}]"),
        &[
            "field `param` name \"A-B\" does not match ^[a-zA-Z][a-zA-Z0-9_]*$",
            "field `param.C` has the unprintable character '\\u{7}'",
        ],
    );
    for place in [
        "mounts: [{location: '/tmp/{{.Param.K}}'}]",
        "portForwards: [{guestSocket: '/run/{{.Param.K}}', hostSocket: a.sock}]",
        "probes: [{script: '#!/bin/sh {{.Param.K}}'}]",
        "copyToHost: [{guest: '/{{.Param.K}}', host: '{{.Dir}}/x'}]",
    ] {
        check_problems(&format!("{IMAGE}param: {{K: v}}\n{place}"), &[]);
    }
}

#[test]
fn templates_are_rendered_with_the_variables_of_their_side() {
    let c = with_image(
        "user: {home: '/home/{{.User}}.{{.Name}}'}\n\
         provision:\n\
         - script: '{{.Name}} {{.Hostname}} {{.UID}} {{.User}} {{.Home}} {{.Param.missing}}'\n\
         - {mode: user, script: 'a {{if broken'}\n\
         - {mode: data, path: '{{.Home}}/f', owner: '{{.User}}', content: '{{- range $i, $e := .Param}}{{end}}x'}\n\
         mounts: [{location: '~/src', mountPoint: '/mnt/{{.User}}'}]\n\
         portForwards: [{guestSocket: '/run/user/{{.UID}}/d.sock', hostSocket: '{{.Dir}}/d.sock'}]\n",
    );
    assert_eq!(c.user.home, "/home/nova.demo.one");
    assert_eq!(c.provision[0].text, "demo.one lima-demo-one 1001 nova /home/nova.demo.one <no value>");
    assert_eq!(c.provision[1].text, "a {{if broken");
    assert_eq!(c.provision[1].mode, ProvisionMode::User);
    assert_eq!((c.provision[2].path.as_str(), c.provision[2].text.as_str()), ("/home/nova.demo.one/f", "x"));
    assert_eq!(c.mounts[0].location, PathBuf::from("/home/nova/src"));
    assert_eq!(c.mounts[0].mount_point, "/mnt/nova");
    assert_eq!(c.port_forwards[0].guest_socket, "/run/user/1001/d.sock");
    assert_eq!(c.port_forwards[0].host_socket, "/lima/demo.one/d.sock");
}

#[test]
fn mounts() {
    let c = with_image(
        "mounts: [{location: /a, mountPoint: /m}, {location: /b}, {location: /c, mountPoint: /m, writable: true}]",
    );
    let got: Vec<_> = c.mounts.iter().map(|m| (m.location.to_str().expect("utf-8"), m.writable)).collect();
    assert_eq!(got, [("/c", true), ("/b", false)]);
    assert_eq!((c.mounts[0].nine_p.cache.as_str(), c.mounts[1].nine_p.cache.as_str()), ("mmap", "fscache"));
    assert_eq!(c.mounts[0].nine_p.msize, 128 << 10);
    assert_eq!(c.mounts[1].tag.len(), "lima-".len() + 16);
    let c = with_image(
        "plain: true\nmounts: [{location: /a}]\nportForwards: [{guestPort: 1}, {guestPort: 2, static: true}]",
    );
    assert!(c.mounts.is_empty() && c.timezone.is_empty());
    assert_eq!(c.port_forwards.len(), 1);
}

#[test]
fn port_forwards() {
    let rule = |text: &str| with_image(&format!("portForwards: [{{{text}}}]")).port_forwards.remove(0);
    let all = rule("");
    assert_eq!(
        (all.guest_ip.to_string(), all.guest_port_range, all.host_port_range),
        ("127.0.0.1".into(), (1, 65535), (1, 65535))
    );
    assert_eq!(all.protocol, Protocol::Any);
    let one = rule("guestPort: 80, hostPort: 8080, proto: tcp");
    assert_eq!((one.guest_port_range, one.host_port_range, one.protocol), ((80, 80), (8080, 8080), Protocol::Tcp));
    assert_eq!(rule("guestPort: 80").host_port_range, (80, 80));
    let any = rule("guestIP: 0.0.0.0");
    assert!(any.guest_ip_must_be_zero);
    assert_eq!(rule("guestIPMustBeZero: true").guest_ip.to_string(), "0.0.0.0");
    // Programs write zeros for what is not set.
    let zeros = rule("guestPortRange: [80, 90], hostPortRange: [0, 0], guestPort: 0");
    assert_eq!(zeros.host_port_range, (80, 90));
    let socket = rule("guestSocket: /run/docker.sock, hostSocket: docker.sock");
    assert_eq!(socket.host_socket, "/lima/demo.one/sock/docker.sock");

    for (text, problem) in [
        (
            "guestIP: 127.0.0.1, guestIPMustBeZero: true",
            "guestIPMustBeZero` can only be true when field `portForwards[0].guestIP` is 0.0.0.0, got 127.0.0.1",
        ),
        ("guestIP: here", "guestIP` must be an IP address, got \"here\""),
        ("guestPort: 22", "guestPort` must not be 22"),
        ("guestPort: 70000", "guestPort` must be < 65536, got 70000"),
        (
            "guestPort: 1, guestPortRange: [2, 3]",
            "guestPort` must match the first port of `portForwards[0].guestPortRange`",
        ),
        ("guestPortRange: [9, 3]", "guestPortRange` must have its first port not above its last, got 9 and 3"),
        (
            "guestPortRange: [1, 5], hostPortRange: [1, 9]",
            "hostPortRange` must specify the same number of ports as field `portForwards[0].guestPortRange`",
        ),
        ("guestPortRange: [1]", "guestPortRange` must have two ports, got 1"),
        ("guestSocket: a, hostSocket: b", "guestSocket` must be an absolute path, got \"a\""),
        (
            "guestSocket: /a, guestPort: 5, hostSocket: b",
            "guestPort` must be empty when field `portForwards[0].guestSocket` is set",
        ),
        (
            "guestPortRange: [3, 4], hostSocket: b",
            "hostSocket` can only be mapped from a single port or socket, not from a range",
        ),
        ("guestPort: 1, proto: sctp", "proto` must be one of tcp, udp, any, got \"sctp\""),
        (
            "guestPort: 1, reverse: true",
            "reverse` must be used with both `portForwards[0].guestSocket` and `portForwards[0].hostSocket`",
        ),
    ] {
        check_problems(&format!("{IMAGE}portForwards: [{{{text}}}]"), &[&format!("field `portForwards[0].{problem}")]);
    }
    let long = "x".repeat(120);
    check_problems(
        &format!("{IMAGE}portForwards: [{{guestSocket: /a, hostSocket: /{long}}}]"),
        &[&format!("field `portForwards[0].hostSocket` must be less than 108 bytes long, \"/{long}\" has 121")],
    );
}

#[test]
fn a_host_user_that_a_guest_cannot_have_becomes_lima() {
    for (user, uid, name, guest_uid) in
        [("root", 0, "lima", 1000), ("DOMAIN\\Ann", 5, "lima", 5), ("admin", 7, "lima", 7)]
    {
        let host = HostFacts { user: user.into(), uid, ..host() };
        let c = parse(IMAGE)
            .and_then(|t| t.resolve(&MachineName::new("a").expect("good"), Path::new("/l/a"), &host))
            .expect("resolves");
        assert_eq!((c.user.name.as_str(), c.user.uid), (name, guest_uid));
    }
}

#[test]
fn facts_of_this_host_can_be_had() {
    let host = HostFacts::detect(&["qemu"]);
    assert!(host.cpus >= 1 && host.memory > 1 << 20 && host.home.is_absolute());
    assert_eq!(host.drivers, ["qemu"]);
}

proptest::proptest! {
    /// Whatever the text, reading it gives an answer.
    #[test]
    fn no_text_makes_it_panic(text in "[a-z:\\[\\]{}\"' \n\t0-9&*!|>-]{0,120}") {
        if let Ok(template) = parse(&text) {
            let _ = template.validate(&host());
        }
    }
}
