//! Reading, printing, and both together.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{parse, parse_documents, print, print_kyaml};

#[test]
fn one_document_may_have_its_mark() {
    for text in ["---\na: 1\n", "# first\n---\na: 1\n...\n", "a: 1\n---\n", "%YAML 1.1\n---\na: 1"] {
        assert_eq!(parse(text), Ok(json!({"a": 1})), "{text}");
    }
    let error = parse("---\na: 1\n---\nb: 2\n").unwrap_err();
    assert_eq!(error.line, Some(4));
}

#[test]
fn kyaml_is_what_kubectl_prints() {
    let value = json!({
        "apiVersion": "v1", "12": 1, "a.b/c-d": "x", "on": null, "é": true, "f": 1.5e-7, "": [],
        "maps": [{}, {"a": 1}], "lists": [[1], ["b"]], "mixed": [1, {"a": 2e21}],
        "quoted": "a\t\"b\"\\\u{1}", "lines": "a\n b\n",
    });
    let expect = r#"---
{
  "": [],
  "12": 1,
  a.b/c-d: "x",
  apiVersion: "v1",
  "f": 1.5e-7,
  lines: "\
     a\n\
    \ b\n\
    ",
  lists: [[
    1,
  ], [
    "b",
  ]],
  maps: [{}, {
    a: 1,
  }],
  mixed: [
    1,
    {
      a: 2e+21,
    },
  ],
  "on": null,
  quoted: "a	\"b\"\\\x01",
  é: true,
}
"#;
    assert_eq!(print_kyaml(&value), expect);
    assert_eq!(parse(expect).unwrap(), value);
}

#[test]
fn scalars_are_read_as_kubectl_reads_them() {
    let check =
        |text: &str, expect: Value| assert_eq!(parse(&format!("a: {text}")), Ok(json!({"a": expect})), "{text}");
    check("yes", json!(true));
    check("off", json!(false));
    check("0644", json!(420));
    check("010", json!(8));
    check("0x1F", json!(31));
    check("1.5", json!(1.5));
    check("1.0", json!(1.0));
    check("~", json!(null));
    check("\"0644\"", json!("0644"));
    check("'yes'", json!("yes"));
    check("2026-01-02", json!("2026-01-02"));
    check("{b: [1, x]}", json!({"b": [1, "x"]}));
    check("|\n  x\n  y\n", json!("x\ny\n"));
}

#[test]
fn keys_become_strings_and_may_not_repeat() {
    assert_eq!(parse("1: a\ntrue: b"), Ok(json!({"1": "a", "true": "b"})));
    let error = parse("a: 1\nb: 2\na: 3").expect_err("a stands twice");
    assert_eq!(error.line, Some(3), "{error}");
    assert_eq!(error.to_string(), r#"yaml: line 3: key "a" already set in map"#);
    let text = |text: &str| parse(text).expect_err(text).to_string();
    assert_eq!(
        text(
            "a: b: c
"
        ),
        "yaml: line 1: mapping values are not allowed in this context"
    );
    assert!(
        text(
            "a: [1
b: 2
"
        )
        .starts_with("yaml: line 2: ")
    );
    assert!(
        text(
            "a: .inf
"
        )
        .starts_with("yaml: line 1: ")
    );
    let (value, problem) = super::parse_lenient("a: 1\na: 2\n").expect("lenient");
    assert_eq!((value, problem.is_some()), (json!({"a": 2}), true));
    assert!(parse(r#"{"a": 1, "a": 2}"#).is_err());
    assert_eq!(
        parse(r#"{"a": 1, "b": [1.5, null, true, -2, "x"]}"#),
        Ok(json!({"a": 1, "b": [1.5, null, true, -2, "x"]}))
    );
}

#[test]
fn documents_are_split() {
    let check = |text: &str, expect: &[Value]| assert_eq!(parse_documents(text).expect(text), expect, "{text:?}");
    check("", &[]);
    check("# nothing\n---\n", &[]);
    check("a: 1\n---\nb: 2\n", &[json!({"a": 1}), json!({"b": 2})]);
    check("---\na: 1\n---\n---\n# x\n---\nb: 2", &[json!({"a": 1}), json!({"b": 2})]);
    check("a: |\n  x\n  ---\n  y\n--- \nb: 2\n", &[json!({"a": "x\n---\ny\n"}), json!({"b": 2})]);
    check("---\r\na: 1\r\n---\r\nb: 2\r\n", &[json!({"a": 1}), json!({"b": 2})]);
    check("--- {a: 1}\n--- {b: 2}\n", &[json!({"a": 1}), json!({"b": 2})]);
    check("{\"a\": 1}\n---\n{\"b\": 2}", &[json!({"a": 1}), json!({"b": 2})]);
    let error = parse_documents("a: 1\n---\nb: [\n").expect_err("unclosed");
    assert!(error.line.is_some_and(|l| l >= 3), "{error:?}");
}

#[test]
fn printing_looks_like_kubectl() {
    let value = json!({"metadata": {"name": "a", "labels": {}, "annotations": {"b": "true", "c": "10", "d": "x: y"}},
        "data": {"t": "one\ntwo\n", "n": "one\ntwo", "e": "", "s": " x", "q": "it's: so", "w": "on", "o": "0644", "colon": "a:b"},
        "list": [{"name": "x", "sub": ["p", "q"]}, [1, 2], [], "z"], "zero": 0, "f": 1.5, "nothing": null, "no": false});
    let expect = r#"data:
  colon: a:b
  e: ""
  "n": |-
    one
    two
  o: "0644"
  q: 'it''s: so'
  s: ' x'
  t: |
    one
    two
  w: "on"
f: 1.5
list:
- name: x
  sub:
  - p
  - q
- - 1
  - 2
- []
- z
metadata:
  annotations:
    b: "true"
    c: "10"
    d: 'x: y'
  labels: {}
  name: a
"no": false
nothing: null
zero: 0
"#;
    assert_eq!(print(&value), expect);
}

#[test]
fn texts_that_look_like_something_else_are_quoted() {
    let check = |text: &str, expect: &str| assert_eq!(print(&json!(text)), format!("{expect}\n"));
    check("plain", "plain");
    check("a b", "a b");
    check("1e3", r#""1e3""#);
    check("1_000", r#""1_000""#);
    check("0o7", r#""0o7""#);
    check("2026-01-02", r#""2026-01-02""#);
    check("2025-01-01T00:00:00Z", r#""2025-01-01T00:00:00Z""#);
    check("1:30", r#""1:30""#);
    check("v1.2.3", "v1.2.3");
    check("1.2.3", "1.2.3");
    check("10Gi", "10Gi");
    check("- x", "'- x'");
    check("-x", "-x");
    check("#x", "'#x'");
    check("x #y", "'x #y'");
    check("*", "'*'");
    check("@x", "'@x'");
    check("{}", "'{}'");
    check("a\tb", r#""a\tb""#);
    check("\u{1}", r#""\x01""#);
    check("null", r#""null""#);
    check("key:", "'key:'");
    check("=", "=");
}

#[test]
fn keys_sort_naturally() {
    let keys: Vec<String> =
        print(&json!({"a10": 1, "a2": 1, "b": 1, "A": 1, "1": 1})).lines().map(|l| l.replace(": 1", "")).collect();
    assert_eq!(keys, ["\"1\"", "A", "a2", "a10", "b"]);
}

fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[ -~\n\t]{0,20}",
        "\\PC{0,12}",
        Just("yes".to_owned()),
        Just("0644".to_owned()),
        Just("- a\n  b: c\n\n".to_owned()),
        Just("\n\nx\n".to_owned()),
        Just("  x\n y\n".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e6f64..1e6).prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(text.clone(), inner, 0..5).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_read_again(value in any_json()) {
        let text = print(&value);
        let again = parse(&text);
        prop_assert_eq!(again.as_ref(), Ok(&value), "{}", text);
        let text = print_kyaml(&value);
        prop_assert_eq!(parse(&text), Ok(value), "{}", text);
    }

    #[test]
    fn reading_never_panics(text in "\\PC{0,60}|[-:\\[\\]{} a1\n\"']{0,60}") {
        let _ = parse_documents(&text);
    }
}

/// `texts.yaml` is what kubectl 1.32 printed for a ConfigMap with the texts of `texts.json`.
#[test]
fn texts_are_printed_as_kubectl_printed_them() {
    let texts: Vec<String> = serde_json::from_str(include_str!("testdata/texts.json")).expect("a list");
    let data: Value = texts.iter().enumerate().map(|(i, text)| (format!("k{i:03}"), json!(text))).collect();
    let metadata = json!({"creationTimestamp": null, "name": "c"});
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data});
    let expect = include_str!("testdata/texts.yaml");
    assert_eq!(print(&map), expect);
    assert_eq!(parse(expect), Ok(map));
}
