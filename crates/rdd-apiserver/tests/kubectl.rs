//! Floor 30: the real kubectl: a recent one, the same on every machine (`RDD_TEST_KUBECTL`), an old one (1.20, legacy
//! discovery, OpenAPI v2 only; `RDD_TEST_KUBECTL_OLD`), and the one on PATH.
//!
//! Each scenario has a server and a home of its own. `cargo xtask test` brings the first two; without a kubectl a
//! scenario says so and passes.

mod support;

use std::path::PathBuf;
use std::process::{Output, Stdio};

use support::Live;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

/// One kubectl against one server.
struct Kubectl {
    live: Live,
    binary: PathBuf,
    old: bool,
}

impl Kubectl {
    async fn start(binary: PathBuf, old: bool) -> Self {
        let live = Live::start().await;
        std::fs::write(live.path().join("kubeconfig"), live.kubeconfig()).expect("a kubeconfig");
        std::fs::create_dir(live.path().join("home")).expect("a home");
        Self { live, binary, old }
    }

    fn command(&self, args: &[&str]) -> Command {
        let home = self.live.path().join("home");
        let mut command = Command::new(&self.binary);
        command
            .env_clear()
            .env("HOME", &home)
            .env("KUBECONFIG", self.live.path().join("kubeconfig"))
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .current_dir(self.live.path())
            .arg("--cache-dir")
            .arg(home.join("cache"))
            .args(args)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, args: &[&str], stdin: Option<&str>) -> Output {
        let mut command = self.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if stdin.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().expect("kubectl starts");
        if let (Some(text), Some(mut pipe)) = (stdin, child.stdin.take()) {
            pipe.write_all(text.as_bytes()).await.expect("kubectl reads");
        }
        let end = tokio::time::timeout(support::PATIENCE, child.wait_with_output());
        end.await.unwrap_or_else(|_| panic!("kubectl {args:?} does not end")).expect("kubectl ends")
    }

    /// Runs a command that must succeed; returns what it printed.
    async fn ok(&self, args: &[&str]) -> String {
        self.ok_with(args, None).await
    }

    async fn ok_with(&self, args: &[&str], stdin: Option<&str>) -> String {
        let output = self.run(args, stdin).await;
        let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "kubectl {args:?} failed: {error}{out}");
        // From 1.34 on, kubectl says from where; each scenario has its objects in `default`.
        out.replace(" deleted from default namespace", " deleted")
    }

    /// Runs a command that must fail; returns its complaint.
    async fn fails(&self, args: &[&str]) -> String {
        let output = self.run(args, None).await;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "kubectl {args:?} should fail");
        error
    }

    /// Runs a command that prints exactly this.
    async fn prints(&self, args: &[&str], expect: &str) {
        assert_eq!(self.ok(args).await.trim_end(), expect, "kubectl {args:?}");
    }

    /// Applies a manifest that kubectl answers to like this.
    async fn applies(&self, manifest: &str, expect: &str) {
        assert_eq!(self.ok_with(&["apply", "-f", "-"], Some(manifest)).await.trim_end(), expect);
    }
}

/// Names the columns of a printed table, and its rows split at white space.
fn table(text: &str) -> (Vec<&str>, Vec<Vec<&str>>) {
    let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    (lines.next().unwrap_or_default(), lines.collect())
}

async fn typed_creates(k: &Kubectl) {
    k.prints(&["create", "namespace", "a"], "namespace/a created").await;
    k.prints(&["create", "configmap", "c", "--from-literal=k=v"], "configmap/c created").await;
    k.prints(&["create", "secret", "generic", "s", "--from-literal=k=v"], "secret/s created").await;
    k.prints(&["-n", "a", "create", "serviceaccount", "sa"], "serviceaccount/sa created").await;
    k.prints(&["get", "secret", "s", "-o", "jsonpath={.data.k} {.type}"], "dg== Opaque").await;
    k.prints(&["get", "ns", "a", "-o", "jsonpath={.status.phase}"], "Active").await;
    let twice = k.fails(&["create", "configmap", "c"]).await;
    assert!(twice.contains("configmaps \"c\" already exists"), "{twice}");
    k.prints(&["delete", "configmap", "c"], "configmap \"c\" deleted").await;
    // Emptying a namespace is a controller's work; here is none.
    k.prints(&["delete", "namespace", "a", "--wait=false"], "namespace \"a\" deleted").await;
    k.prints(&["get", "ns", "a", "-o", "jsonpath={.status.phase}"], "Terminating").await;
    let closing = k.fails(&["-n", "a", "create", "configmap", "late"]).await;
    assert!(closing.contains("because it is being terminated"), "{closing}");
    let missing = k.fails(&["get", "configmap", "c"]).await;
    assert_eq!(missing.trim_end(), "Error from server (NotFound): configmaps \"c\" not found");
}

async fn forms_of_get(k: &Kubectl) {
    k.ok(&["create", "configmap", "one", "--from-literal=k=v"]).await;
    k.ok(&["create", "configmap", "two"]).await;
    k.ok(&["label", "configmap", "one", "l=1"]).await;
    k.ok(&["-n", "kube-system", "create", "configmap", "far"]).await;
    let text = k.ok(&["get", "cm"]).await;
    let (columns, rows) = table(&text);
    assert_eq!(columns, ["NAME", "DATA", "AGE"]);
    assert_eq!(rows.iter().map(|r| &r[..2]).collect::<Vec<_>>(), [["one", "1"], ["two", "0"]]);
    assert!(rows[0][2].ends_with('s'), "an age: {rows:?}");
    let text = k.ok(&["get", "configmaps", "-A"]).await;
    assert_eq!(table(&text).0, ["NAMESPACE", "NAME", "DATA", "AGE"]);
    assert_eq!(table(&text).1.len(), 3, "{text}");
    k.prints(&["get", "cm", "-l", "l=1", "-o", "name"], "configmap/one").await;
    k.prints(&["get", "cm", "-l", "l!=1", "-o", "name"], "configmap/two").await;
    k.prints(&["get", "cm", "--field-selector", "metadata.name=two", "-o", "name"], "configmap/two").await;
    k.prints(&["get", "cm", "one", "-o", "jsonpath={.data.k}"], "v").await;
    k.prints(&["get", "cm", "-o", "jsonpath={range .items[*]}{.metadata.name} {end}"], "one two").await;
    k.prints(&["get", "cm", "--no-headers", "-o", "custom-columns=N:.metadata.name"], "one\ntwo").await;
    let yaml = k.ok(&["get", "cm", "one", "-o", "yaml"]).await;
    assert!(yaml.starts_with("apiVersion: v1\ndata:\n  k: v\nkind: ConfigMap\n"), "{yaml}");
    let json = k.ok(&["get", "cm", "-o", "json"]).await;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).expect("JSON")["items"][1]["metadata"]["name"], "two");
    let text = k.ok(&["get", "crd,ns", "-o", "wide"]).await;
    assert!(text.contains("namespace/default"), "{text}");
    let text = k.ok(&["get", "cm", "--sort-by", ".metadata.name", "-L", "l", "--show-labels"]).await;
    assert_eq!(table(&text).0, ["NAME", "DATA", "AGE", "L", "LABELS"]);
    let paged = k.ok(&["get", "cm", "-A", "--chunk-size=1", "-o", "name"]).await;
    assert_eq!(paged.lines().count(), 3);
    let unknown = k.fails(&["get", "nosuch"]).await;
    assert_eq!(unknown.trim_end(), "error: the server doesn't have a resource type \"nosuch\"");
    let text = k.ok(&["describe", "configmap", "one"]).await;
    assert!(text.contains("Name:         one") && text.contains("Events:  <none>"), "{text}");
    let text = k.ok(&["describe", "ns", "default"]).await;
    assert!(text.contains("Status:       Active"), "{text}");
}

const MANIFEST: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m, finalizers: [example.com/a]}\ndata: {k: v}\n";

async fn apply(k: &Kubectl) {
    k.applies(MANIFEST, "configmap/m created").await;
    k.applies(MANIFEST, "configmap/m unchanged").await;
    let changed = MANIFEST.replace("k: v", "new: w").replace("example.com/a", "example.com/b");
    let dry = ["apply", "-f", "-", "--dry-run=server"];
    assert_eq!(k.ok_with(&dry, Some(&changed)).await.trim_end(), "configmap/m configured (server dry run)");
    k.prints(&["get", "cm", "m", "-o", "jsonpath={.data}"], r#"{"k":"v"}"#).await;
    // Finalizers are a set that merges: one goes, one comes, and a stranger's stays.
    let stranger = r#"[{"op":"add","path":"/metadata/finalizers/-","value":"example.com/c"}]"#;
    k.ok(&["patch", "cm", "m", "--type=json", "-p", stranger]).await;
    k.applies(&changed, "configmap/m configured").await;
    k.prints(&["get", "cm", "m", "-o", "jsonpath={.data}"], r#"{"new":"w"}"#).await;
    let finalizers = k.ok(&["get", "cm", "m", "-o", "jsonpath={.metadata.finalizers}"]).await;
    assert!(!finalizers.contains("/a") && finalizers.contains("/b") && finalizers.contains("/c"), "{finalizers}");
    let typo = MANIFEST.replace("\ndata:", "\ndota:");
    let refused = k.run(&["apply", "-f", "-"], Some(&typo)).await;
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && error.contains("unknown field \"") && error.contains("dota"), "{error}");
    k.prints(&["patch", "cm", "m", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#], "configmap/m patched")
        .await;
    assert_eq!(k.ok_with(&["delete", "-f", "-"], Some(MANIFEST)).await.trim_end(), "configmap \"m\" deleted");
    assert_eq!(
        k.ok_with(&["create", "-f", "-"], Some("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n"))
            .await
            .trim_end(),
        "configmap/m created"
    );
    let full = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {r: s}\n";
    assert_eq!(k.ok_with(&["replace", "-f", "-"], Some(full)).await.trim_end(), "configmap/m replaced");
}

async fn changes(k: &Kubectl) {
    k.ok(&["create", "configmap", "c", "--from-literal=k=v"]).await;
    k.prints(&["patch", "cm", "c", "-p", r#"{"data":{"s":"1"}}"#], "configmap/c patched").await;
    k.prints(&["patch", "cm", "c", "--type=merge", "-p", r#"{"data":{"m":"1"}}"#], "configmap/c patched").await;
    let operations = r#"[{"op":"test","path":"/data/k","value":"v"},{"op":"remove","path":"/data/k"}]"#;
    k.prints(&["patch", "cm", "c", "--type=json", "-p", operations], "configmap/c patched").await;
    k.prints(&["get", "cm", "c", "-o", "jsonpath={.data}"], r#"{"m":"1","s":"1"}"#).await;
    let again = k.fails(&["patch", "cm", "c", "--type=json", "-p", operations]).await;
    // 1.20 leaves out what the server says about it.
    let words =
        if k.old { "The request is invalid" } else { "the server rejected our request due to an error in our request" };
    assert!(again.contains(words), "{again}");
    k.prints(&["patch", "cm", "c", "-p", r#"{"data":{"s":"1"}}"#], "configmap/c patched (no change)").await;
    k.prints(&["label", "cm", "c", "l=1"], "configmap/c labeled").await;
    k.prints(&["annotate", "cm", "c", "example.com/a=1"], "configmap/c annotated").await;
    k.prints(&["get", "cm", "-l", "l=1", "-o", r"jsonpath={.items[0].metadata.annotations.example\.com/a}"], "1").await;
    k.ok(&["label", "cm", "c", "l-"]).await;

    let editor = k.live.path().join("editor");
    std::fs::write(&editor, "#!/bin/sh\nsed -i 's/s: \"1\"/s: \"2\"/' \"$1\"\n").expect("an editor");
    let mut chmod = std::process::Command::new("chmod");
    assert!(chmod.arg("+x").arg(&editor).status().expect("chmod runs").success());
    let output = k.command(&["edit", "cm", "c"]).env("KUBE_EDITOR", &editor).output().await.expect("edited");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), "configmap/c edited", "{output:?}");
    k.prints(&["get", "cm", "c", "-o", "jsonpath={.data.s}"], "2").await;
    k.prints(&["delete", "cm", "--all"], "configmap \"c\" deleted").await;
}

async fn watch(k: &Kubectl) {
    k.ok(&["create", "configmap", "c"]).await;
    let mut child = k.command(&["get", "cm", "-w"]).stdout(Stdio::piped()).spawn().expect("kubectl starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut next = async || {
        let line = tokio::time::timeout(support::PATIENCE, lines.next_line()).await.expect("in time").expect("read");
        line.expect("a line").split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(next().await, "NAME DATA");
    assert_eq!(next().await, "c 0");
    k.ok(&["patch", "cm", "c", "-p", r#"{"data":{"k":"v"}}"#]).await;
    assert_eq!(next().await, "c 1");
    k.ok(&["create", "configmap", "d"]).await;
    assert_eq!(next().await, "d 0");
    child.kill().await.expect("killed");

    let mut child =
        k.command(&["get", "cm", "d", "-w", "-o", "name"]).stdout(Stdio::piped()).spawn().expect("kubectl starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    for _ in 0..2 {
        let line = tokio::time::timeout(support::PATIENCE, lines.next_line()).await.expect("in time").expect("read");
        assert_eq!(line.expect("a line"), "configmap/d");
        k.ok(&["annotate", "--overwrite", "cm", "d", "a=1"]).await;
    }
    child.kill().await.expect("killed");
}

async fn waits(k: &Kubectl) {
    let manifest = MANIFEST.replace("data: {k: v}", "data: {phase: up}");
    k.applies(&manifest, "configmap/m created").await;
    if !k.old {
        k.prints(&["wait", "cm/m", "--for=jsonpath={.data.phase}=up", "--timeout=30s"], "configmap/m condition met")
            .await;
    }
    let late = k.fails(&["wait", "cm/m", "--for=condition=Ready", "--timeout=1s"]).await;
    assert!(late.contains("timed out waiting for the condition"), "{late}");
    k.ok(&["delete", "cm", "m", "--wait=false"]).await;
    let wait = k.ok(&["wait", "cm/m", "--for=delete", "--timeout=60s"]);
    let release = async {
        // Not before kubectl watches: then it is the event that it sees.
        support::eventually("kubectl watches", || async {
            let text = support::get(&k.live.server, "/metrics").await.text();
            if text.contains("apiserver_longrunning_requests 1") { Ok(()) } else { Err(text) }
        })
        .await;
        k.ok(&["patch", "cm", "m", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]).await
    };
    let (waited, _) = tokio::join!(wait, release);
    assert_eq!(waited.trim_end(), "configmap/m condition met");
}

async fn discovery(k: &Kubectl) {
    let text = k.ok(&["api-resources"]).await;
    for name in ["configmaps", "secrets", "namespaces", "events", "leases", "customresourcedefinitions"] {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name} in {text}");
    }
    let versions = k.ok(&["api-versions"]).await;
    assert!(versions.lines().any(|line| line == "v1") && versions.contains("coordination.k8s.io/v1"), "{versions}");
    let version = k.ok(&["version", "-o", "json"]).await;
    assert!(version.contains("\"serverVersion\""), "{version}");
    let explained = k.ok(&["explain", "configmap"]).await;
    assert!(explained.contains("ConfigMap") && explained.contains("metadata"), "{explained}");
    let explained = k.ok(&["explain", "cm.metadata.finalizers"]).await;
    assert!(explained.contains("Must be empty before the object is deleted"), "{explained}");
    assert!(k.ok(&["get", "--raw", "/version"]).await.contains("gitVersion"));
    k.prints(&["auth", "can-i", "create", "configmaps"], "yes").await;
    if !k.old {
        let me = k.ok(&["auth", "whoami", "--as", "bob"]).await;
        assert!(me.contains("bob") && me.contains("system:authenticated"), "{me}");
    }
}

async fn custom_kinds(k: &Kubectl) {
    k.applies(support::WIDGETS, "customresourcedefinition.apiextensions.k8s.io/widgets.example.com created").await;
    k.prints(
        &["wait", "--for=condition=Established", "crd/widgets.example.com", "--timeout=60s"],
        "customresourcedefinition.apiextensions.k8s.io/widgets.example.com condition met",
    )
    .await;
    let widget = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\nspec: {size: 3}\n";
    k.applies(widget, "widget.example.com/w created").await;
    k.applies(widget, "widget.example.com/w unchanged").await;
    k.applies(&widget.replace('3', "4"), "widget.example.com/w configured").await;
    let text = k.ok(&["get", "widgets"]).await;
    assert_eq!(table(&text).0, ["NAME", "SIZE", "AGE"]);
    assert_eq!(table(&text).1[0][..2], ["w", "4"]);
    let text = k.ok(&["get", "wd", "-o", "wide"]).await;
    assert_eq!(table(&text).0, ["NAME", "SIZE", "PHASE", "AGE"]);
    k.prints(&["get", "all", "-o", "name"], "widget.example.com/w").await;
    k.prints(&["get", "wd/w", "-o", "jsonpath={.spec.color}"], "red").await;
    k.prints(&["patch", "wd", "w", "--type=merge", "-p", r#"{"spec":{"size":5}}"#], "widget.example.com/w patched")
        .await;
    let invalid = k.fails(&["patch", "wd", "w", "--type=merge", "-p", r#"{"spec":{"size":0}}"#]).await;
    assert!(invalid.starts_with("The Widget \"w\" is invalid: spec.size: Invalid value: 0"), "{invalid}");
    k.prints(&["label", "wd", "w", "a=b"], "widget.example.com/w labeled").await;
    let explained = k.ok(&["explain", "widget.spec"]).await;
    assert!(explained.contains("How big it is.") && explained.contains("What is wanted."), "{explained}");
    let described = k.ok(&["describe", "wd", "w"]).await;
    assert!(described.contains("Color:  red"), "{described}");
    let conditions = r#"[{"op":"add","path":"/status","value":{"conditions":[{"type":"Ready","status":"True"}]}}]"#;
    if !k.old {
        k.ok(&["patch", "wd", "w", "--subresource=status", "--type=json", "-p", conditions]).await;
        k.prints(&["wait", "wd/w", "--for=condition=Ready", "--timeout=30s"], "widget.example.com/w condition met")
            .await;
    }
    k.prints(&["delete", "wd", "w"], "widget.example.com \"w\" deleted").await;
    k.prints(
        &["delete", "crd", "widgets.example.com"],
        "customresourcedefinition.apiextensions.k8s.io \"widgets.example.com\" deleted",
    )
    .await;
    assert!(!k.ok(&["api-resources", "--cached=false"]).await.contains("widgets"));
}

async fn server_side_apply(k: &Kubectl) {
    let map = |data: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: ssa}}\ndata: {{{data}}}\n");
    let server_side = |manager: &'static str| ["apply", "--server-side", "--field-manager", manager, "-f", "-"];
    let applied = "configmap/ssa serverside-applied";
    assert_eq!(k.ok_with(&server_side("one"), Some(&map("a: '1', b: '1'"))).await.trim_end(), applied);
    assert_eq!(k.ok_with(&server_side("two"), Some(&map("b: '1', c: '1'"))).await.trim_end(), applied);
    let data = ["get", "cm", "ssa", "-o", "jsonpath={.data}"];
    k.prints(&data, r#"{"a":"1","b":"1","c":"1"}"#).await;
    // What one leaves out goes only where two does not want it.
    k.ok_with(&server_side("one"), Some(&map("a: '2'"))).await;
    k.prints(&data, r#"{"a":"2","b":"1","c":"1"}"#).await;
    let refused = k.run(&server_side("two"), Some(&map("a: '3', b: '1', c: '1'"))).await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(told.contains("Apply failed with 1 conflict: conflict with \"one\": .data.a"), "{told}");
    let forced = ["apply", "--server-side", "--field-manager", "two", "--force-conflicts", "-f", "-"];
    assert_eq!(k.ok_with(&forced, Some(&map("a: '3', b: '1', c: '1'"))).await.trim_end(), applied);
    let shown = k.ok(&["get", "cm", "ssa", "-o", "jsonpath={.metadata.managedFields[*].manager}"]).await;
    assert_eq!(shown.trim_end(), "two", "one owns nothing any more");

    // From client-side apply, with the same file, and on with another one.
    k.ok_with(&["apply", "-f", "-"], Some(&map("a: '3', b: '2'"))).await;
    let csa = map("a: '3', b: '2'").replace("ssa", "moved");
    k.ok_with(&["apply", "-f", "-"], Some(&csa)).await;
    let ssa = csa.replace("b: '2'", "b: '4'");
    k.ok_with(&["apply", "--server-side", "-f", "-"], Some(&ssa)).await;
    k.prints(&["get", "cm", "moved", "-o", "jsonpath={.data.b}"], "4").await;
    if !k.old {
        let managers = k.ok(&["get", "cm", "moved", "-o", "jsonpath={.metadata.managedFields[*].manager}"]).await;
        // The annotation is kept for those who go back to client-side apply, and has an owner of its own.
        assert_eq!(managers.trim_end(), "kubectl kubectl-last-applied");
    }
    let dry = ["apply", "--server-side", "--dry-run=server", "-f", "-"];
    let told = k.ok_with(&dry, Some(&ssa.replace("moved", "never"))).await;
    assert_eq!(told.trim_end(), "configmap/never serverside-applied (server dry run)");

    k.ok_with(&["apply", "-f", "-"], Some(support::WIDGETS)).await;
    k.ok(&["wait", "--for=condition=Established", "crd/widgets.example.com", "--timeout=60s"]).await;
    let widget = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\nspec: {size: 1}\n";
    k.ok_with(&server_side("one"), Some(widget)).await;
    k.prints(&["get", "wd", "w", "-o", "jsonpath={.spec.size}"], "1").await;
    let lenient = ["apply", "--server-side", "--validate=false", "--field-manager", "one", "-f", "-"];
    let typo = k.run(&lenient, Some(&widget.replace("size", "sise"))).await;
    let told = String::from_utf8_lossy(&typo.stderr);
    assert!(told.contains(".spec.sise: field not declared in schema"), "{told}");
}

async fn scale(k: &Kubectl) {
    k.ok_with(&["apply", "-f", "-"], Some(&support::scaled_widgets())).await;
    k.ok(&["wait", "--for=condition=Established", "crd/widgets.example.com", "--timeout=60s"]).await;
    let widget = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\nspec: {size: 1, replicas: 3}\n";
    k.applies(widget, "widget.example.com/w created").await;
    let is = async |expect: &str| k.prints(&["get", "wd", "w", "-o", "jsonpath={.spec.replicas}"], expect).await;
    k.prints(&["scale", "wd/w", "--replicas=4"], "widget.example.com/w scaled").await;
    is("4").await;
    // With a condition kubectl replaces what it has read, and leaves a zero out.
    k.prints(&["scale", "wd/w", "--current-replicas=4", "--replicas=0"], "widget.example.com/w scaled").await;
    is("0").await;
    let other = k.fails(&["scale", "wd/w", "--current-replicas=4", "--replicas=2"]).await;
    assert!(other.contains("Expected") && other.contains("was 0"), "{other}");
    let many = k.fails(&["scale", "wd/w", "--replicas=11"]).await;
    assert!(many.contains("spec.replicas: Invalid value: 11"), "{many}");
    if !k.old {
        let text = k.ok(&["get", "wd", "w", "--subresource=scale"]).await;
        assert_eq!(table(&text).0, ["NAME", "DESIRED", "AVAILABLE", "AGE"]);
        k.ok(&["patch", "wd", "w", "--subresource=scale", "--type=merge", "-p", r#"{"spec":{"replicas":2}}"#]).await;
        is("2").await;
    }
}

async fn roles(k: &Kubectl) {
    let bob = ["--as", "bob"];
    let asks = async |args: &[&str], expect: &str| {
        let args = [bob.as_slice(), &["auth", "can-i"], args].concat();
        let output = k.run(&args, None).await;
        assert_eq!(String::from_utf8_lossy(&output.stdout).lines().next(), Some(expect), "{args:?} {output:?}");
        assert_eq!(output.status.success(), expect == "yes", "{args:?}");
    };
    asks(&["list", "configmaps"], "no").await;
    k.prints(
        &["create", "role", "reader", "--verb=get,list", "--resource=configmaps"],
        "role.rbac.authorization.k8s.io/reader created",
    )
    .await;
    k.prints(
        &["create", "rolebinding", "reads", "--role=reader", "--user=bob", "--serviceaccount=default:sa"],
        "rolebinding.rbac.authorization.k8s.io/reads created",
    )
    .await;
    asks(&["list", "configmaps"], "yes").await;
    asks(&["list", "configmaps", "-n", "kube-system"], "no").await;
    asks(&["delete", "configmaps"], "no").await;
    asks(&["get", "/version"], "yes").await;
    asks(&["get", "/metrics"], "no").await;
    k.ok(&["--as", "bob", "get", "cm"]).await;
    let denied = k.fails(&["--as", "bob", "get", "secrets"]).await;
    assert_eq!(
        denied.trim_end(),
        "Error from server (Forbidden): secrets is forbidden: User \"bob\" cannot list resource \"secrets\" in API group \
         \"\" in the namespace \"default\""
    );
    let text = k.ok(&["--as", "bob", "auth", "can-i", "--list"]).await;
    let line = text.lines().find(|line| line.starts_with("configmaps ")).unwrap_or_default();
    assert!(line.ends_with("[get list]"), "{text}");

    let text = k.ok(&["get", "rolebindings", "-o", "wide"]).await;
    assert_eq!(table(&text).0, ["NAME", "ROLE", "AGE", "USERS", "GROUPS", "SERVICEACCOUNTS"]);
    assert_eq!(table(&text).1[0][..2], ["reads", "Role/reader"]);
    let text = k.ok(&["get", "role"]).await;
    assert_eq!(text.split_whitespace().take(3).collect::<Vec<_>>(), ["NAME", "CREATED", "AT"], "{text}");
    let text = k.ok(&["describe", "role", "reader"]).await;
    assert!(text.contains("[get list]"), "{text}");
    let text = k.ok(&["describe", "clusterrolebinding", "system:basic-user"]).await;
    assert!(text.contains("system:authenticated"), "{text}");
    assert!(k.ok(&["explain", "role.rules"]).await.contains("verbs"));

    k.prints(
        &[
            "create",
            "clusterrole",
            "watcher",
            "--verb=get,list,watch",
            "--resource=namespaces",
            "--resource=configmaps",
        ],
        "clusterrole.rbac.authorization.k8s.io/watcher created",
    )
    .await;
    k.prints(
        &["create", "clusterrole", "sum", "--aggregation-rule=sum=yes"],
        "clusterrole.rbac.authorization.k8s.io/sum created",
    )
    .await;
    k.ok(&["label", "clusterrole", "watcher", "sum=yes"]).await;
    k.prints(
        &["create", "clusterrolebinding", "all", "--clusterrole=watcher", "--user=bob"],
        "clusterrolebinding.rbac.authorization.k8s.io/all created",
    )
    .await;
    asks(&["watch", "configmaps", "-n", "kube-system"], "yes").await;
    let path = "jsonpath={.rules[*].resources}";
    support::eventually("sum gathers its rules", || async {
        let seen = k.ok(&["get", "clusterrole", "sum", "-o", path]).await;
        if seen.contains("namespaces") { Ok(()) } else { Err(seen) }
    })
    .await;

    let refused = k.fails(&["--as", "bob", "create", "role", "r", "--verb=get", "--resource=secrets"]).await;
    assert!(refused.contains("cannot create resource \"roles\""), "{refused}");
    k.ok(&["create", "role", "maker", "--verb=create", "--resource=roles.rbac.authorization.k8s.io"]).await;
    k.ok(&["create", "rolebinding", "maker", "--role=maker", "--user=bob"]).await;
    let refused = k.fails(&["--as", "bob", "create", "role", "r", "--verb=get", "--resource=secrets"]).await;
    assert!(refused.contains("is attempting to grant RBAC permissions not currently held:"), "{refused}");
    assert!(refused.contains(r#"{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}"#), "{refused}");
    k.ok(&["--as", "bob", "create", "role", "r", "--verb=get", "--resource=configmaps"]).await;
}

async fn reconciled_roles(k: &Kubectl) {
    let role = |verbs: &str| {
        format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: r, namespace: default}}\n\
             rules:\n- {{apiGroups: [\"\"], resources: [configmaps], verbs: [{verbs}]}}\n"
        )
    };
    let binding = |role: &str| {
        format!(
            "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: b, namespace: default}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {role}}}\nsubjects:\n\
             - {{apiGroup: rbac.authorization.k8s.io, kind: User, name: bob}}\n"
        )
    };
    let reconcile = async |text: String| k.ok_with(&["auth", "reconcile", "-f", "-"], Some(&text)).await;
    let text = reconcile(role("get") + &binding("r")).await;
    assert!(text.contains("role.rbac.authorization.k8s.io/r reconciled"), "{text}");
    k.prints(&["--as", "bob", "auth", "can-i", "get", "configmaps"], "yes").await;
    reconcile(role("list")).await;
    for verb in ["get", "list"] {
        k.prints(&["--as", "bob", "auth", "can-i", verb, "configmaps"], "yes").await;
    }
    // Another role needs another binding, which kubectl makes in place of the first.
    let text = reconcile(binding("other")).await;
    assert!(text.contains("rolebinding.rbac.authorization.k8s.io/b reconciled"), "{text}");
    k.prints(&["get", "rolebinding", "b", "-o", "jsonpath={.roleRef.name}"], "other").await;
    k.applies(&role("watch"), "role.rbac.authorization.k8s.io/r configured").await;
    k.prints(&["get", "role", "r", "-o", "jsonpath={.rules[*].verbs[*]}"], "watch").await;
    let output = k.run(&["apply", "-f", "-"], Some(&binding("r"))).await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot change roleRef"), "{output:?}");
}

async fn tokens(k: &Kubectl) {
    if k.old {
        // `create token` came with 1.24.
        return;
    }
    k.prints(&["create", "serviceaccount", "sa"], "serviceaccount/sa created").await;
    k.ok(&["create", "rolebinding", "sa", "--clusterrole=view", "--serviceaccount=default:sa"]).await;
    let token = k.ok(&["create", "token", "sa", "--duration=20m", "--audience=https://kubernetes.default.svc"]).await;
    let kubeconfig = k.live.path().join("sa-kubeconfig");
    std::fs::write(&kubeconfig, k.live.kubeconfig_with(token.trim())).expect("a kubeconfig");
    let file = kubeconfig.to_str().expect("UTF-8");
    k.ok(&["--kubeconfig", file, "get", "configmaps"]).await;
    let denied = k.fails(&["--kubeconfig", file, "create", "configmap", "c"]).await;
    assert!(denied.contains("User \"system:serviceaccount:default:sa\" cannot create resource"), "{denied}");
    let me = k.ok(&["--kubeconfig", file, "auth", "whoami"]).await;
    assert!(me.contains("system:serviceaccounts:default") && me.contains("JTI="), "{me}");
    assert!(k.ok(&["explain", "selfsubjectreview"]).await.contains("SelfSubjectReview"));
    let short = k.fails(&["create", "token", "sa", "--duration=1m"]).await;
    assert!(short.contains("may not specify a duration less than 10 minutes"), "{short}");
    k.ok(&["delete", "serviceaccount", "sa"]).await;
    let refused = k.fails(&["--kubeconfig", file, "get", "configmaps"]).await;
    assert!(refused.contains("You must be logged in to the server"), "{refused}");
}

fn on_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join("kubectl")).find(|file| file.is_file())
}

fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from)
}

macro_rules! scenarios {
    ($kubectl:ident = $binary:expr, old: $old:literal, $missing:literal: $($scenario:ident),* $(,)?) => {
        mod $kubectl {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                let Some(binary) = $binary else {
                    return eprintln!(concat!("skipped: ", $missing));
                };
                let k = Kubectl::start(binary, $old).await;
                super::$scenario(&k).await;
                k.live.stop().await;
            })*
        }
    };
    ($($scenario:ident),* $(,)?) => {
        scenarios!(recent = named("RDD_TEST_KUBECTL"), old: false, "RDD_TEST_KUBECTL names no kubectl": $($scenario),*);
        scenarios!(old = named("RDD_TEST_KUBECTL_OLD"), old: true, "RDD_TEST_KUBECTL_OLD names no kubectl": $($scenario),*);
        scenarios!(installed = on_path(), old: false, "there is no kubectl on PATH": $($scenario),*);
    };
}

scenarios!(
    typed_creates,
    forms_of_get,
    apply,
    server_side_apply,
    changes,
    watch,
    waits,
    discovery,
    custom_kinds,
    scale,
    roles,
    reconciled_roles,
    tokens,
);
