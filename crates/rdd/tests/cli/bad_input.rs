//! Bad input: each gives one clear error through the API and through the command line, costs nothing
//! that was there, and the next correct try works without cleaning up by hand.
//!
//! That a taken port of the API only means another port, and that instance names are checked before
//! anything is touched, is tested in `service` and `arguments`.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::api::Cluster;
use crate::limavm::{fatal, file, is_on, template};
use crate::sealed::{Ran, Sealed, check};

/// A home with a VM `good` that runs, and what there was before anything went wrong.
struct World {
    sealed: Sealed,
    cluster: Cluster,
    before: Vec<String>,
    good: Value,
}

impl World {
    fn new() -> World {
        let sealed = Sealed::new();
        file(&sealed, "good.lima", &template(&sealed, ""));
        check(&sealed.run(&["limavm", "create", "good", "good.lima", "--start"]), 0, "");
        let cluster = Cluster::of(&sealed);
        let before = cluster.everything();
        let good = cluster.limavm("good").expect("there");
        World { sealed, cluster, before, good }
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.sealed.run(args)
    }

    fn create(&self, name: &str, template: &str) -> Ran {
        file(&self.sealed, "bad.lima", template);
        self.run(&["limavm", "create", name, "bad.lima", "--start", "--timeout=20s"])
    }

    /// Checks that a template is refused by both doors, in the same words, and leaves no trace.
    #[track_caller]
    fn refuses(&self, text: &str, why: &str) {
        let refused = format!(
            "admission webhook \"limavm-defaulter.lima.rancherdesktop.io\" denied the request: failed to create template \
             ConfigMap: admission webhook \"limavm-configmap-validator.lima.rancherdesktop.io\" denied the request: {why}"
        );
        check(
            &self.create("bad", text),
            1,
            &format!(
                "time=T level=warning msg=\"Cleaning up created ConfigMap \\\"bad\\\"\"\n{}\
                 hint: nothing was created; correct bad.lima or the command line, then try again\n",
                fatal(&refused)
            ),
        );
        self.is_unharmed();
        self.cluster.create_template("default", "source", text).expect("any text can be stored");
        let answer = self.cluster.create_limavm("default", "bad", "source").expect_err("refused");
        assert_eq!(answer, (403, refused.replace("HOME", self.sealed.home().to_str().expect("text"))));
        // A dry run hears the same.
        let ran = self.run(&["limavm", "create", "bad", "source", "--dry-run"]);
        check(&ran, 1, &fatal(&refused));
        self.cluster.delete_template("source");
        self.is_unharmed();
    }

    /// Checks that a VM's creation or start fails with a reason, seen by both doors.
    #[track_caller]
    fn fails(&self, text: &str, kind: &str, reason: &str, why: &str) {
        let log = if reason == "StartFailed" { "; its log is shown by 'rdd limavm log bad'" } else { "" };
        check(
            &self.create("bad", text),
            1,
            &(fatal(&format!("LimaVM \"bad\": {reason}: {why}; next try in 1 s"))
                + "hint: put right what is missing, or correct the template with 'rdd limavm edit bad', then run 'rdd \
                   limavm start bad'"
                + log
                + "\n"),
        );
        let (status, told, message) = self.cluster.condition("bad", kind).expect("told");
        assert_eq!((status.as_str(), told.as_str()), ("False", reason));
        let why = why.replace("HOME", self.sealed.home().to_str().expect("text"));
        assert!(message.starts_with(&why), "{message}");
        self.good_runs();
        // It can be let go of, though it never was.
        check(&self.run(&["limavm", "stop", "bad"]), 0, "");
    }

    /// Checks that what was put right works at the next try, soon.
    #[track_caller]
    fn starts(&self) {
        check(&self.run(&["limavm", "start", "bad", "--timeout=5s"]), 0, "");
        assert!(is_on(&self.sealed, "bad"));
        self.good_runs();
    }

    /// Checks that another try under the same name works.
    #[track_caller]
    fn creates_anew(&self) {
        check(&self.create("bad", &template(&self.sealed, "")), 0, "");
        assert!(is_on(&self.sealed, "bad"));
        self.good_runs();
    }

    #[track_caller]
    fn good_runs(&self) {
        assert!(is_on(&self.sealed, "good"));
        assert_eq!(self.cluster.limavm("good").as_ref(), Some(&self.good));
    }

    #[track_caller]
    fn is_unharmed(&self) {
        self.good_runs();
        assert_eq!(self.cluster.everything(), self.before);
        let machines = fs::read_dir(&self.sealed.instance().paths().lima_home).expect("listed");
        let mut names: Vec<_> = machines.map(|entry| entry.expect("listed").file_name()).collect();
        names.sort();
        assert_eq!(names, ["_config", "good"]);
    }

    #[track_caller]
    fn ends_clean(self) {
        self.sealed.ends_clean();
    }
}

#[test]
fn a_template_that_is_no_template() {
    let world = World::new();
    world.refuses("vmType: [fake\n", "failed to parse template: line 1, column 9: unclosed bracket '['");
    world.refuses("just words\n", "failed to parse template: the template must be a mapping, got \"just words\"");
    world.refuses("\n", "\"template\" data cannot be empty");
    world.refuses("vmType: fake\nimages: []\n", "failed to validate template: field `images` must be set (hint: name at least one image, as in `images: [{location: \
         ...}]`)");
    world.creates_anew();
    world.ends_clean();
}

#[test]
fn mistakes_in_a_manifest() {
    let world = World::new();
    let manifest = |text: &str| {
        let text = text.replace('\n', "\n    ");
        let manifest = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: bad}}\ndata:\n  template: |\n    {text}\n---\n\
             apiVersion: lima.rancherdesktop.io/v1alpha1\nkind: LimaVM\nmetadata: {{name: bad}}\n\
             spec: {{running: true, templateRef: {{name: bad}}}}\n"
        );
        file(&world.sealed, "bad.yaml", &manifest);
        world.run(&["ctl", "apply", "-f", "bad.yaml"])
    };
    let refused = "admission webhook \"limavm-defaulter.lima.rancherdesktop.io\" denied the request: failed to create template \
                   ConfigMap: admission webhook \"limavm-configmap-validator.lima.rancherdesktop.io\" denied the request: \
                   failed to validate template: field `vmType` \"vbox\" is not a registered driver; registered: fake, qemu";
    let good = template(&world.sealed, "");
    let ran = manifest(&good.replace("vmType: fake", "vmType: vbox"));
    assert_eq!(
        (ran.code, ran.stdout.as_str(), ran.stderr),
        (
            1,
            "configmap/bad created\n",
            format!("Error from server (Forbidden): error when creating \"bad.yaml\": {refused}\n")
        )
    );
    world.good_runs();
    let ran = manifest(&good);
    let done = "configmap/bad configured\nlimavm.lima.rancherdesktop.io/bad created\n";
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, done, ""));
    let ran = world.run(&["ctl", "wait", "--for=condition=Running", "limavm/bad", "--timeout=20s"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    file(&world.sealed, "bad.yaml", "a: [\n");
    let ran = world.run(&["ctl", "apply", "-f", "bad.yaml"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.starts_with("error: error parsing bad.yaml: "), "{}", ran.stderr);
    world.good_runs();
    world.ends_clean();
}

#[test]
fn an_unknown_vm_type() {
    let world = World::new();
    let text = template(&world.sealed, "").replace("vmType: fake", "vmType: vbox");
    world.refuses(
        &text,
        "failed to validate template: field `vmType` \"vbox\" is not a registered driver; registered: fake, qemu",
    );
    world.creates_anew();
    world.ends_clean();
}

#[test]
fn an_image_that_does_not_exist() {
    let world = World::new();
    let text = template(&world.sealed, "").replace("image.raw", "missing.raw");
    let why = "cannot get the image: cannot open HOME/missing.raw: No such file or directory (os error 2)";
    world.fails(&text, "Created", "CreateFailed", why);
    // Nothing but the file was wrong.
    fs::write(world.sealed.path("missing.raw"), [0; 512]).expect("written");
    world.starts();
    world.ends_clean();
}

#[test]
fn a_digest_that_does_not_match() {
    let world = World::new();
    let good = template(&world.sealed, "");
    let with = |digest: &str| good.replace("image.raw\n", &format!("image.raw\n  digest: {digest}\n"));
    world.refuses(
        &with("sha256:12"),
        "failed to validate template: field `images[0].digest` is invalid: \"sha256:12\" must have 64 lower-case \
         hexadecimal digits",
    );
    let (wrong, right) = ("0".repeat(64), "076a27c79e5ace2a3d47f9dd2e83e4ff6ea8872b3c2218f66c92b89b55f36560");
    let why =
        format!("cannot get the image: digest mismatch of HOME/image.raw: expected sha256:{wrong}, got sha256:{right}");
    world.fails(&with(&format!("sha256:{wrong}")), "Created", "CreateFailed", &why);
    // The template is put right where it is kept: in the VM's own copy.
    world.cluster.set_template("default", "bad", &with(&format!("sha256:{right}")));
    world.starts();
    world.ends_clean();
}

#[test]
fn another_template_is_tried_at_once() {
    let world = World::new();
    let good = template(&world.sealed, "");
    file(&world.sealed, "bad.lima", &good.replace("image.raw", "missing.raw"));
    check(&world.run(&["limavm", "create", "bad", "bad.lima"]), 0, "");
    let failures = || world.cluster.condition("bad", "Created").map(|c| c.2).unwrap_or_default();
    world.sealed.eventually("it waits for longer", || failures().contains("next try in 4 s"));
    let begin = std::time::Instant::now();
    world.cluster.set_template("default", "bad", &good);
    let created = || world.cluster.condition("bad", "Created").is_some_and(|c| c.0 == "True");
    world.sealed.eventually("it is created", created);
    assert!(begin.elapsed() < std::time::Duration::from_secs(2), "{:?}", begin.elapsed());
    world.ends_clean();
}

#[test]
fn a_disk_smaller_than_its_image() {
    let world = World::new();
    fs::File::create(world.sealed.path("big.raw")).and_then(|file| file.set_len(2 << 20)).expect("written");
    let text = template(&world.sealed, "").replace("image.raw", "big.raw");
    let why = "the disk of 1MiB is smaller than its image, which has 2MiB; raise `disk` in the template";
    world.fails(&text, "Created", "CreateFailed", why);
    world.cluster.set_template("default", "bad", &text.replace("disk: 1MiB", "disk: 2MiB"));
    world.starts();
    // And back is no way either, for the disk holds data by now.
    fs::write(world.sealed.path("editor"), "sed -i 's/disk: 2MiB/disk: 1MiB/' $1\n").expect("written");
    let mut command = world.sealed.command(&["limavm", "edit", "bad"]);
    command.env("EDITOR", "sh ./editor");
    check(
        &world.sealed.finish(command),
        1,
        &fatal(
            "admission webhook \"limavm-configmap-validator.lima.rancherdesktop.io\" denied the request: failed to validate \
             template: field `disk` cannot shrink from 2097152 to 1048576 bytes: the disk holds data",
        ),
    );
    assert!(is_on(&world.sealed, "bad"));
    world.ends_clean();
}

#[test]
fn a_name_that_is_taken_in_another_namespace() {
    let mut world = World::new();
    world.cluster.create_namespace("other");
    world.before = world.cluster.everything();
    let refused = "admission webhook \"limavm-defaulter.lima.rancherdesktop.io\" denied the request: LimaVM name \"good\" is \
                   already used in namespace \"default\"; LimaVM names must be unique across all namespaces";
    check(&world.run(&["limavm", "create", "good", "good.lima", "-n", "other"]), 1, &taken());
    world.is_unharmed();
    world.cluster.create_template("other", "source", &template(&world.sealed, "")).expect("created");
    assert_eq!(world.cluster.create_limavm("other", "good", "source"), Err((403, refused.to_owned())));
    let same = world.cluster.create_limavm("default", "good", "good");
    assert_eq!(same, Err((409, "limavms.lima.rancherdesktop.io \"good\" already exists".to_owned())));
    world.good_runs();
    check(&world.run(&["limavm", "create", "bad", "source", "-n", "other", "--start"]), 0, "");
    world.good_runs();
    world.ends_clean();
}

/// Returns what is said to whom wants a VM named like the one that is there.
fn taken() -> String {
    fatal(r#"LimaVM "good" already exists in namespace "default""#)
        + "hint: choose another name, or delete it with 'rdd limavm delete good'\n"
}

#[test]
fn a_name_that_is_taken() {
    let mut world = World::new();
    world.cluster.create_template("default", "source", &template(&world.sealed, "")).expect("created");
    world.before = world.cluster.everything();
    for from in ["good.lima", "source", "good"] {
        check(&world.run(&["limavm", "create", "good", from]), 1, &taken());
        check(&world.run(&["limavm", "create", "good", from, "--dry-run"]), 1, &taken());
        world.is_unharmed();
    }
    // A ConfigMap alone is no VM, and may be what the VM shall be made of.
    let hint = "hint: choose another name, or make the VM of that ConfigMap with 'rdd limavm create source source'\n";
    let said = r#"ConfigMap "source" already exists in namespace "default", will not modify existing ConfigMap"#;
    check(&world.run(&["limavm", "create", "source", "good.lima"]), 1, &(fatal(said) + hint));
    world.is_unharmed();
    check(&world.run(&["limavm", "create", "source", "source"]), 0, "");
    world.good_runs();
    world.ends_clean();
}

#[test]
fn names_with_a_slash() {
    let world = World::new();
    for name in ["a/b", "../x", "A", "-a", ""] {
        let rule = "use lower-case letters, digits, '-' and '.', with a letter or digit at both ends";
        // A name that begins with a dash is a flag until something says that it is none.
        check(
            &world.run(&["limavm", "create", "--", name, "good.lima"]),
            1,
            &fatal(&format!("invalid LimaVM name {name:?}: {rule}")),
        );
    }
    let ran = world.run(&["limavm", "create", "a--b", "good.lima"]);
    assert!(ran.stderr.contains(r#"instance name \"a--b\" must be letters and digits, joined by single"#), "{ran:?}");
    let (code, message) = world.cluster.create_limavm("default", "a/b", "good").expect_err("refused");
    assert_eq!(code, 403);
    let rule = "instance name \"a/b\" must be letters and digits, joined by single '.', '_' or '-'";
    assert!(message.ends_with(rule), "{message}");
    let rule = "'/' is not allowed; use only letters, digits, '.', '_' and '-'";
    check(
        &world.run(&["--instance=a/b", "limavm", "create", "bad", "good.lima"]),
        1,
        &fatal(&format!("invalid instance name \"a/b\": {rule}")),
    );
    world.is_unharmed();
    world.creates_anew();
    world.ends_clean();
}

#[test]
fn a_second_service_for_the_same_instance() {
    let world = World::new();
    check(
        &world.run(&["svc", "serve"]),
        1,
        &(fatal("control plane \"rancher-desktop-t\" is already running")
            + "hint: see it with 'rdd svc status', stop it with 'rdd svc stop'\n"),
    );
    world.is_unharmed();
    assert!(world.sealed.instance().paths().config.exists() && world.sealed.instance().paths().pid_file.exists());
    world.ends_clean();
}

#[test]
fn a_port_for_ssh_that_is_taken() {
    let world = World::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = taken.local_addr().expect("bound").port();
    let why = format!(
        "ssh.localPort {port} is already in use on 127.0.0.1; leave it out to have a free one chosen (hostagent ended with \
         exit status: 1, see HOME/.rdt/lima/bad/ha.stderr.log)"
    );
    let text = template(&world.sealed, &format!("ssh:\n  localPort: {port}\n"));
    world.fails(&text, "Running", "StartFailed", &why);
    drop(taken);
    world.starts();
    world.ends_clean();
}

#[test]
fn a_port_for_ssh_that_stays_taken() {
    let world = World::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = taken.local_addr().expect("bound").port();
    let text = template(&world.sealed, &format!("ssh: {{localPort: {port}}}\n"));
    assert_eq!(world.create("bad", &text).code, 1);
    world.cluster.set_template("default", "bad", &template(&world.sealed, ""));
    world.starts();
    world.ends_clean();
}

/// Returns a template of a VM of the real QEMU that boots nothing.
fn qemu_template(sealed: &Sealed) -> String {
    let text = template(sealed, "cpus: 1\nmemory: 64MiB\nmounts: []\ncontainerd: {system: false, user: false}\n");
    text.replace("vmType: fake", "vmType: qemu")
}

#[test]
fn qemu_that_is_not_installed() {
    let sealed = Sealed::new();
    let programs = sealed.path("programs");
    fs::create_dir(&programs).expect("made");
    file(&sealed, "bad.lima", &qemu_template(&sealed));
    let mut command = sealed.command(&["limavm", "create", "bad", "bad.lima", "--start"]);
    command.env("PATH", &programs);
    let why = "qemu-system-x86_64 is not usable: it is not installed; install the package qemu-system-x86 (Debian, Ubuntu), \
               qemu (Fedora, Arch, Homebrew) (hostagent ended with exit status: 1, see HOME/.rdt/lima/bad/ha.stderr.log)";
    check(
        &sealed.finish(command),
        1,
        &(fatal(&format!("LimaVM \"bad\": StartFailed: {why}; next try in 1 s"))
            + "hint: put right what is missing, or correct the template with 'rdd limavm edit bad', then run 'rdd limavm \
               start bad'; its log is shown by 'rdd limavm log bad'\n"),
    );
    let cluster = Cluster::of(&sealed);
    let (status, reason, message) = cluster.condition("bad", "Running").expect("told");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "StartFailed"));
    assert!(message.starts_with("qemu-system-x86_64 is not usable: it is not installed; install "), "{message}");
    // Once it is there, where the service looks, the next try finds it.
    match find("qemu-system-x86_64") {
        None => eprintln!("not tried with QEMU installed: there is none on PATH"),
        Some(qemu) => {
            symlink(qemu, programs.join("qemu-system-x86_64")).expect("linked");
            check(&sealed.run(&["limavm", "start", "bad", "--wait=false"]), 0, "");
            sealed.eventually("QEMU runs", || is_on(&sealed, "bad"));
        }
    }
    check(&sealed.run(&["limavm", "delete", "bad", "--timeout=60s"]), 0, "");
    file(&sealed, "good.lima", &template(&sealed, ""));
    check(&sealed.run(&["limavm", "create", "bad", "good.lima", "--start"]), 0, "");
    assert_eq!(cluster.field("bad", "/status/restartCount"), json!(1));
    sealed.ends_clean();
}

fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// Says to [`a_full_disk`] that it runs on a small file system of its own.
const ON_SMALL_DISK: &str = "RDD_TEST_ON_SMALL_DISK";

#[test]
fn a_full_disk() {
    if std::env::var_os(ON_SMALL_DISK).is_some() {
        return fill_the_disk();
    }
    let place = tempfile::Builder::new().prefix("rdd").tempdir().expect("a directory");
    // A mount that only this process and its children see, and that ends with them.
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-ec", script, "sh"]).arg(place.path());
        command
    };
    let mount = "mount -t tmpfs -o size=16m none \"$1\"";
    match unshare(mount).output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            return eprintln!(
                "skipped: no file system can be mounted here: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Err(error) => return eprintln!("skipped: cannot run unshare: {error}"),
    }
    let test = std::env::current_exe().expect("a running program has a path");
    let mut again = unshare(&format!("{mount}; TMPDIR=\"$1\" exec \"$2\" --exact bad_input::a_full_disk --nocapture"));
    let output = again.arg(test).env(ON_SMALL_DISK, "1").output().expect("unshare runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// The test itself, on a disk of 16 MiB.
fn fill_the_disk() {
    let world = World::new();
    fs::write(world.sealed.path("big.raw"), vec![1; 2 << 20]).expect("written");
    let big = template(&world.sealed, "").replace("image.raw", "big.raw").replace("disk: 1MiB", "disk: 2MiB");
    file(&world.sealed, "big.lima", &big);
    check(&world.run(&["limavm", "create", "first", "big.lima", "--start"]), 0, "");
    let free = free_space(world.sealed.home());
    fs::write(world.sealed.path("ballast"), vec![1; free.saturating_sub(1 << 20)]).expect("there is room");

    // No room for a disk.
    let why = "cannot get the image: no space left on the device for HOME/.rdt/lima/bad/image; free some";
    world.fails(&big, "Created", "CreateFailed", why);
    assert!(is_on(&world.sealed, "first"));
    assert!(!world.sealed.instance().paths().lima_home.join("bad").exists(), "half a disk is no use");
    check(&world.run(&["limavm", "delete", "first"]), 0, "");
    world.starts();

    // No room for objects. They are larger than what the store may have at hand from earlier writes.
    let long = format!("{}# {}\n", template(&world.sealed, ""), "x".repeat(900_000));
    fs::remove_file(world.sealed.path("ballast")).expect("removed");
    file(&world.sealed, "long.lima", &long);
    world.cluster.create_template("default", "source", &long).expect("there is room");
    let before = world.cluster.everything();
    fill(&world.sealed.path("ballast"));
    let why = "the store cannot write: database or disk is full; free some space, then try again";
    assert_eq!(world.cluster.create_template("default", "more", &long), Err((503, why.to_owned())));
    check(&world.run(&["limavm", "create", "more", "long.lima"]), 1, &fatal(why));
    let why = format!("failed to create template ConfigMap: {why}");
    assert_eq!(world.cluster.create_limavm("default", "more", "source"), Err((503, why.clone())));
    check(&world.run(&["limavm", "create", "more", "source"]), 1, &fatal(&why));
    assert_eq!(world.cluster.everything(), before, "what is there can be read");
    world.good_runs();
    fs::remove_file(world.sealed.path("ballast")).expect("removed");
    // The store looks again after a moment.
    let probed = || world.cluster.create_template("default", "probe", "text").is_ok();
    world.sealed.eventually("it can be written again", probed);
    check(&world.run(&["limavm", "create", "more", "source", "--start"]), 0, "");
    world.good_runs();

    // No room to start in.
    check(&world.run(&["svc", "stop"]), 0, "");
    fill(&world.sealed.path("ballast"));
    let ran = world.run(&["svc", "start"]);
    assert_eq!(ran.code, 1);
    let why = "control plane failed to start: cannot write HOME/.local/share/rancher-desktop-t/rdd.pid: No space left on device";
    assert!(ran.stderr.contains(why), "{}", ran.stderr);
    fs::remove_file(world.sealed.path("ballast")).expect("removed");
    check(&world.run(&["svc", "start"]), 0, "");
    let cluster = Cluster::of(&world.sealed);
    let runs = |vm: &&str| cluster.condition(vm, "Running").is_some_and(|c| c.1 == "Started");
    world.sealed.eventually("all run again", || ["good", "bad", "more"].iter().all(runs));
    world.ends_clean();
}

/// Returns how many bytes of the file system are free.
fn free_space(path: &Path) -> usize {
    let output = Command::new("df").args(["--output=avail", "-B1"]).arg(path).output().expect("df runs");
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().nth(1).expect("a number").trim().parse().expect("a number")
}

/// Writes a file until there is no room left.
fn fill(path: &Path) {
    use std::io::Write;
    let mut file = fs::File::create(path).expect("created");
    while file.write_all(&[1; 4096]).is_ok() {}
}
