//! Templates and paths, most of them from kubectl's own documentation.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{JsonPath, MissingKeys, print_value};

fn list() -> Value {
    json!({"kind": "List", "items": [
        {"kind": "None", "metadata": {"name": "127.0.0.1", "labels": {"kubernetes.io/hostname": "h1", "a": "x"}},
            "status": {"capacity": {"cpu": "4"}, "addresses": [{"type": "LegacyHostIP", "address": "127.0.0.1"}]}, "n": 1},
        {"kind": "None", "metadata": {"name": "127.0.0.2"}, "n": 2.5,
            "status": {"capacity": {"cpu": "8"}, "addresses": [{"type": "LegacyHostIP", "address": "127.0.0.2"},
                {"type": "another", "address": "127.0.0.3"}]}}],
        "users": [{"name": "myself", "user": {}},
            {"name": "e2e", "user": {"username": "admin", "password": "secret"}, "ok": true}]})
}

fn check(template: &str, expect: &str) {
    let path = JsonPath::parse_kubectl(template).expect(template);
    assert_eq!(path.print(&list(), MissingKeys::Allowed).as_deref(), Ok(expect), "{template}");
}

#[test]
fn the_examples_of_the_documentation() {
    check("kind is {.kind}", "kind is List");
    check("{@.kind}", "List");
    check("{$.kind}", "List");
    check("{['kind']}", "List");
    check("{.users[1].name}", "e2e");
    check("{..name}", "127.0.0.1 127.0.0.2 myself e2e");
    check("{.items[*].metadata.name}", "127.0.0.1 127.0.0.2");
    check(r#"{.users[?(@.name=="e2e")].user.password}"#, "secret");
    check("{.items[*]['metadata.name', 'status.capacity']}", r#"127.0.0.1 127.0.0.2 {"cpu":"4"} {"cpu":"8"}"#);
    check(
        r#"{range .items[*]}[{.metadata.name}, {.status.capacity.cpu}]{"\n"}{end}"#,
        "[127.0.0.1, 4]\n[127.0.0.2, 8]\n",
    );
    check(r"{.items[0].metadata.labels.kubernetes\.io/hostname}", "h1");
    check(r"{.items[0].metadata.labels['kubernetes\.io/hostname']}", "h1");
    check(r#"{.items[*].status.addresses[?(@.type=="LegacyHostIP")].address}"#, "127.0.0.1 127.0.0.2");
}

#[test]
fn slices() {
    check("{.items[0:1].metadata.name}", "127.0.0.1");
    check("{.items[-1:].metadata.name}", "127.0.0.2");
    check("{.items[-1].metadata.name}", "127.0.0.2");
    check("{.items[::2].metadata.name}", "127.0.0.1");
    check("{.items[0,1].metadata.name}", "127.0.0.1 127.0.0.2");
    check("{.users[*].name}", "myself e2e");
    check("{.items[*].status.addresses[*].address}", "127.0.0.1 127.0.0.2 127.0.0.3");
}

#[test]
fn filters() {
    check("{.items[?(@.n>1)].metadata.name}", "127.0.0.2");
    check("{.items[?(@.n<=1)].metadata.name}", "127.0.0.1");
    check("{.items[?(@.n!=1)].metadata.name}", "127.0.0.2");
    check("{.users[?(@.ok==true)].name}", "e2e");
    check("{.users[?(@.user.username)].name}", "e2e");
    check("{.users[?(@.name=='my)self')].name}", "");
    check(r#"{.users[?( @.name == "myself" )].name}"#, "myself");
}

#[test]
fn nested_ranges_and_text() {
    check(
        r#"{range .items[*]}{.metadata.name}:{range .status.addresses[*]}{" "}{.type}{end};{end}done"#,
        "127.0.0.1: LegacyHostIP;127.0.0.2: LegacyHostIP another;done",
    );
    check("{range .nothing[*]}x{end}y", "y");
    check("no braces", "no braces");
    check(r#"{.kind}{"\t"}{'q'}"#, "List\tq");
    check("{.users[0]}", r#"{"name":"myself","user":{}}"#);
    check("{.missing}", "");
}

#[test]
fn errors() {
    let fail = |template: &str, expect: &str| {
        let error =
            JsonPath::parse_kubectl(template).and_then(|p| p.print(&list(), MissingKeys::Refused)).expect_err(template);
        assert_eq!(error.to_string(), expect);
    };
    fail("{.missing}", "missing is not found");
    fail("{.items[5]}", "array index out of bounds: index 5, length 2");
    fail("{.kind[0]}", "string is not array or slice");
    fail("{.items", "unclosed action");
    fail("{.items[}", "unterminated array");
    fail("{.items[x]}", "invalid array index x");
    fail("{end}", "not in range, nothing to end");
    fail("{hello}", "unrecognized identifier hello");
    fail("{...}", "invalid multiple recursive descent");
    fail(r#"{"x}"#, "unterminated quoted string");
}

#[test]
fn columns_find_values() {
    let find = |path: &str| {
        let path = JsonPath::parse_column(path).expect(path);
        path.find(&list()).into_iter().map(print_value).collect::<Vec<_>>()
    };
    assert_eq!(find(".kind"), ["List"]);
    assert_eq!(find("kind"), ["List"]);
    assert_eq!(find("{.kind}"), ["List"]);
    assert_eq!(find(".items[0].n"), ["1"]);
    assert_eq!(find(r#".users[?(@.name=="e2e")].ok"#), ["true"]);
    assert_eq!(find(".missing.more"), Vec::<String>::new());
    assert_eq!(find(".items[9]"), Vec::<String>::new());
}

proptest! {
    #[test]
    fn nothing_panics(template in "[{}.\\[\\]?()@$a0'\",:*=<>!\\\\ -]{0,40}") {
        if let Ok(path) = JsonPath::parse_kubectl(&template) {
            let _ = path.print(&list(), MissingKeys::Allowed);
        }
    }
}
