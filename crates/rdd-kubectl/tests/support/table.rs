//! The invocations, in order: later ones see what earlier ones wrote.

use super::{Row, Verdict};

pub(crate) const WIDGETS: &str = include_str!("widgets.yaml");

pub(crate) const FILES: &[(&str, &str)] = &[
    ("cm.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c1\ndata:\n  a: \"1\"\n"),
    (
        "cm2.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c1\n  labels:\n    app: x\ndata:\n  b: \"<2>\"\n",
    ),
    (
        "two.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: m1\n  labels: {app: two}\ndata: {k: v}\n---\n\
         apiVersion: example.com/v1\nkind: Widget\nmetadata:\n  name: w1\nspec:\n  size: 3\n",
    ),
    (
        "widget.yaml",
        "apiVersion: example.com/v1\nkind: Widget\nmetadata:\n  name: w1\nspec:\n  size: 5\n  color: blue\n",
    ),
    ("invalid.yaml", "apiVersion: example.com/v1\nkind: Widget\nmetadata:\n  name: w2\nspec:\n  size: 0\n"),
    (
        "unknown-field.yaml",
        "apiVersion: example.com/v1\nkind: Widget\nmetadata:\n  name: w3\nspec:\n  size: 1\n  nose: 2\n",
    ),
    ("unknown-kind.yaml", "apiVersion: example.com/v1\nkind: Gadget\nmetadata:\n  name: g\n"),
    ("no-kind.yaml", "metadata:\n  name: g\n"),
    ("other-namespace.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: o\n  namespace: elsewhere\n"),
    ("patch.yaml", "data:\n  p: \"9\"\n"),
    ("columns", "NAME SIZE\n.metadata.name .spec.size\n"),
    ("template", "{.metadata.name}"),
    ("dir/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: da}\n"),
    ("dir/b.yml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: db}\n"),
    ("dir/ignored.txt", "nothing"),
    (
        "list.yaml",
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: l1}\n- apiVersion: v1\n  kind: Secret\n  metadata: {name: l2}\n  stringData: {p: q}\n",
    ),
    ("replace.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c1\ndata:\n  r: \"1\"\n"),
    ("status.yaml", "status:\n  phase: Happy\n  conditions:\n  - type: Ready\n    status: \"True\"\n"),
];

const PROSE: Verdict = Verdict::SameCode("help texts and versions are our own");

/// Returns the table.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |verdict: Verdict, input: &str, line: &str| {
        let args = split(line);
        rows.push(Row { args, input: input.to_owned(), editor: "true", verdict });
    };
    let mut same = |line: &str| add(Verdict::Same, "", line);
    for line in LINES.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        same(line);
    }
    add(PROSE, "", "version --client");
    add(PROSE, "", "get --help");
    add(PROSE, "", "");
    add(Verdict::SameOut("klog's prefix has the time and a line of Go"), "", "apply -f @cm.yaml --dry-run");
    add(Verdict::SameCode("kubectl lists data in random order"), "", "describe cm c1");
    add(Verdict::SameCode("kubectl lists annotations in random order"), "", "annotate ns default --list");
    add(Verdict::SameCode("kubectl suggests in random order"), "", "gett");
    add(Verdict::SameCode("hints to an installed kubectl"), "", "autoscale");
    add(
        Verdict::Ours("kubectl says that there are no resources, and succeeds"),
        "",
        "get ns --sort-by='{.metadata.nosuch}'",
    );
    add(Verdict::Same, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: piped}\n", "apply -f -");
    add(Verdict::Same, "nonsense", "apply -f -");
    add(Verdict::Same, "", "apply -f -");
    add(PROSE, "", "create");
    rows
}

/// Splits at spaces outside of single quotes.
fn split(line: &str) -> Vec<String> {
    let (mut words, mut word, mut is_quoted, mut is_word) = (Vec::new(), String::new(), false, false);
    for c in line.chars() {
        match c {
            '\'' => (is_quoted, is_word) = (!is_quoted, true),
            ' ' if !is_quoted => {
                if is_word {
                    words.push(std::mem::take(&mut word));
                }
                is_word = false;
            }
            c => {
                word.push(c);
                is_word = true;
            }
        }
    }
    if is_word {
        words.push(word);
    }
    words
}

const LINES: &str = r#"
get cm
get cm -A
get nosuch
get cm nosuch
get
get cm,nosuch
get cm a/b
get cm/a/b
get cm/
get ns
get namespaces -o name
get ns default -o yaml
get ns default -o json
apply -f @cm.yaml
apply -f @cm.yaml
get cm c1 -o yaml
apply -f @cm2.yaml
get cm c1 -o yaml
get cm c1 -o json
get cm c1 -o kyaml
get cm -o kyaml
get cm
get cm --show-labels
get cm -L app
get cm -L app --show-labels --no-headers
get cm c1
get cm c1 nosuch
get cm/c1 ns/default
get cm,ns
get cm c1 -o name
get cm c1 -o jsonpath={.data.b}
get cm c1 -o jsonpath='{.data.b}{"\n"}'
get cm c1 -o jsonpath={.data.nosuch}
get cm -o jsonpath='{range .items[*]}{.metadata.name}{"\n"}{end}'
get cm c1 -o jsonpath
get cm c1 -o jsonpath='{.data'
get cm c1 -o jsonpath-file=@template
get cm c1 -o nosuch
get cm c1 -o custom-columns=NAME:.metadata.name,B:.data.b,N:.nothing
get cm -o custom-columns=NAME:.metadata.name --no-headers
get cm -o custom-columns=NAME
get cm nosuch --ignore-not-found
get cm nosuch --ignore-not-found -o yaml
get cm c1 -o wide
get cm -l app=x
get cm -l app=nosuch
get cm -l app=nosuch -o name
get cm -l app=nosuch -o yaml
get cm --field-selector metadata.name=c1
get cm --field-selector metadata.nosuch=c1
get cm -l 'a b'
get cm c1 -l app=x
get cm c1 -A
get cm -n nosuch
get --raw /version/nosuch
get --raw /api/v1/namespaces/default/configmaps/nosuch
get --nosuch
get -o
get cm -Z
nosuch
apply -f @two.yaml
apply -f @two.yaml
get widgets
get wd w1 -o yaml
get wd w1 -o kyaml
get widget w1 -o wide
get widgets.example.com w1
get widgets.v1.example.com w1 -o name
get all
get all,cm
get wd -o custom-columns-file=@columns
get -f @two.yaml
get -f @two.yaml -o name
apply -f @widget.yaml
apply -f @widget.yaml --dry-run=server
apply -f @widget.yaml --dry-run=client
apply -f @invalid.yaml
apply -f @unknown-field.yaml
apply -f @unknown-kind.yaml
apply -f @no-kind.yaml
apply -f @other-namespace.yaml
apply -f @other-namespace.yaml -n default
apply -f @nosuch.yaml
apply
apply -f @dir
apply -f @dir -o name
apply -f @list.yaml
apply -f @cm.yaml --dry-run=nosuch
apply -f @cm.yaml --validate=nosuch
get secret l2 -o jsonpath={.data.p}
create -f @cm.yaml
create -f @widget.yaml
create -f @invalid.yaml
create -f @invalid.yaml --validate=false
create namespace n1
create ns n1
create namespace
create ns n2 --dry-run=client -o yaml
create configmap k1 --from-literal=a=b --from-literal=c=d
create cm k1 --from-literal=a=b
create cm k2 --from-literal=a=b --dry-run=client -o yaml
create cm k2 --from-literal=a=b --dry-run=client
create cm k2 --from-literal=a=b --dry-run=server
create cm k2 --from-literal=nonsense
create cm k2 --from-literal=a=b --from-literal=a=c
create cm k2 --from-file=@template --from-file=x=@columns -o yaml
create cm k3 --from-file=@nosuch
create cm k3 -n n1 --from-file=@dir
get cm k3 -n n1 -o yaml
create secret generic s1 --from-literal=a=b
create secret generic s2 --from-literal=a=b --dry-run=client -o yaml
create secret generic s2 --from-literal=a=b --type=example.com/x
get secrets
create serviceaccount sa1
get sa
create secret generic s2 --from-literal=a=c
create secret generic s3 --from-literal=a=c --from-literal=a=c
create sa sa1
patch cm c1 -p '{"data":{"p":"1"}}' --dry-run=client
create cm k9 -n nosuch --from-literal=a=b
patch cm c1 -p '{"data":{"p":"1"}}'
patch cm c1 -p '{"data":{"p":"1"}}'
patch cm/c1 --type=merge -p '{"data":{"p":null}}' -o yaml
patch cm c1 --type=json -p '[{"op":"add","path":"/data/j","value":"1"}]'
patch cm c1 --type=json -p '[{"op":"test","path":"/data/j","value":"2"}]'
patch cm c1 --patch-file @patch.yaml
patch cm c1 --patch-file @nosuch
patch cm c1
patch cm c1 --type=nosuch -p '{}'
patch cm c1 -p '{"data":'
patch cm nosuch -p '{"data":{"p":"1"}}'
patch cm -p '{}'
patch wd w1 -p '{"spec":{"size":7}}'
patch wd w1 --type=merge -p '{"spec":{"size":7}}'
patch wd w1 --type=merge -p '{"spec":{"size":-7}}'
patch wd w1 --type=merge -p '{"spec":{"size":8}}' --dry-run=server
patch wd w1 --type=merge -p '{"spec":{"size":8}}' --dry-run=client -o jsonpath={.spec.size}
patch wd w1 --type=merge --subresource=status --patch-file @status.yaml
get wd w1 -o wide
label cm c1 tier=a
label cm c1 tier=b
label cm c1 tier=b --overwrite
label cm c1 tier=b
label cm c1 tier-
label cm c1 tier-
label cm c1 --list
label cm c1
label cm
label cm c1 'a=b c'
label cm c1 x=1 -o yaml
label cm nosuch x=1
label cm -l app=x y=2
label cm --all z=3 --dry-run=server
annotate cm c1 note=hello
annotate cm c1 note=bye
annotate cm c1 note=bye --overwrite
annotate cm c1 note-
annotate cm c1 note-
annotate cm c1
annotate cm/c1 cm/k1 n=1
replace -f @replace.yaml
get cm c1 -o jsonpath={.data}
replace -f @other-namespace.yaml
replace
apply -f @cm.yaml
edit cm c1
edit cm nosuch
edit
wait --for=condition=Ready wd/w1 --timeout=5s
wait --for=condition=ready=true wd/w1 --timeout=5s
wait --for=condition=Nosuch wd/w1 --timeout=100ms
wait --for=condition=Nosuch wd/w1 --timeout=0
wait --for=condition=Ready wd/nosuch --timeout=1s
wait --for=condition=Ready wd --all --timeout=1s
wait --for=condition=Ready wd -l nosuch=x --timeout=1s
wait --for=condition=Ready wd --timeout=1s
wait --for=nonsense wd/w1
wait wd/w1
wait --for=jsonpath='{.status.phase}'=Happy wd/w1 --timeout=5s
wait --for=jsonpath='{.status.phase}' wd/w1 --timeout=5s
wait --for=jsonpath='{.status.phase}'=Sad wd/w1 --timeout=100ms
wait --for=jsonpath='{.status.phase}'= wd/w1
wait --for=jsonpath= wd/w1
wait --for=delete cm/nosuch --timeout=1s
wait --for=delete cm/c1 --timeout=100ms
wait --for=create cm/c1 --timeout=1s
wait --for=create cm/nosuch --timeout=100ms
wait --for=condition=Ready wd/w1 --timeout=nonsense
wait --for=condition=Ready wd/w1 --timeout=5s -o name
get cm --sort-by=.metadata.name
get cm --sort-by=.metadata.name -o name
get cm --chunk-size=1 -o name
get cm --chunk-size=1
describe cm k1 m1
describe cm nosuch
describe wd w1
describe secret s1
describe ns n1
describe sa sa1
describe
api-versions
api-resources
api-resources -o name
api-resources -o wide
api-resources --api-group=example.com --no-headers
api-resources --namespaced=false -o name
api-resources --sort-by=name
api-resources -o nosuch
explain wd
explain wd.spec
explain wd.spec.size
explain wd.nosuch
explain nosuch
explain cm
explain wd --recursive
events
events --for=cm/c1
get events
config current-context
config get-contexts
config get-contexts -o name
config get-contexts nosuch
config view
config view -o jsonpath={.clusters[0].name}
config view --minify
config use-context nosuch
config use-context second
config current-context
get cm
config use-context root
auth whoami
auth can-i get cm
delete cm
delete
delete cm nosuch
delete cm nosuch --ignore-not-found
delete cm k1 nosuch
delete cm m1 --dry-run=client
delete cm m1 --dry-run=server
delete cm m1 -o name
delete -f @two.yaml
delete -f @dir
delete -f @dir --ignore-not-found
delete cm -l app=nosuch
delete cm --all -n n1
delete ns n1 --wait=false
delete cm/c1 secret/s1
delete cm --all --wait=false
delete cm x --all
delete sa sa1 --grace-period=0 --force
delete cm nosuch --cascade=nosuch
delete nosuch x
get cm
"#;
