//! Formats of names. Each function returns upstream's texts, one per thing that is wrong
//! (`k8s.io/apimachinery/pkg/util/validation`).

use std::sync::LazyLock;

use regex::Regex;

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const DNS1035: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_VALUE: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
const CONFIG_MAP_KEY: &str = "[-._a-zA-Z0-9]+";

/// Which names a kind allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFormat {
    /// A DNS-1123 subdomain: most kinds and all custom resources.
    Subdomain,
    /// A DNS-1123 label: Namespace.
    Label,
    /// A DNS-1035 label: Service.
    Dns1035Label,
    /// Anything that can be one segment of a URL: RBAC.
    PathSegment,
}

/// A pattern that must match the whole text.
fn whole(pattern: &str) -> Regex {
    Regex::new(&format!("^(?:{pattern})$")).expect("a fixed pattern compiles")
}

fn too_long(limit: usize) -> String {
    format!("must be no more than {limit} characters")
}

/// Go's `RegexError`, with its odd comma before "or".
fn regex_error(text: &str, pattern: &str, examples: &[&str]) -> String {
    let examples: Vec<String> = examples.iter().map(|e| format!("'{e}'")).collect();
    format!("{text} (e.g. {}, regex used for validation is '{pattern}')", examples.join(",  or "))
}

/// A DNS-1123 subdomain of at most 253 characters.
pub fn dns1123_subdomain(text: &str) -> Vec<String> {
    static PATTERN: LazyLock<Regex> = LazyLock::new(|| whole(SUBDOMAIN));
    let says = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
                start and end with an alphanumeric character";
    check(text, 253, &PATTERN, || regex_error(says, SUBDOMAIN, &["example.com"]))
}

/// A DNS-1123 label of at most 63 characters.
pub fn dns1123_label(text: &str) -> Vec<String> {
    static PATTERN: LazyLock<Regex> = LazyLock::new(|| whole(LABEL));
    let says = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
                end with an alphanumeric character";
    check(text, 63, &PATTERN, || regex_error(says, LABEL, &["my-name", "123-abc"]))
}

/// A DNS-1035 label of at most 63 characters.
pub fn dns1035_label(text: &str) -> Vec<String> {
    static PATTERN: LazyLock<Regex> = LazyLock::new(|| whole(DNS1035));
    let says = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
                character, and end with an alphanumeric character";
    check(text, 63, &PATTERN, || regex_error(says, DNS1035, &["my-name", "abc-123"]))
}

fn check(text: &str, limit: usize, pattern: &Regex, error: impl FnOnce() -> String) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > limit {
        errors.push(too_long(limit));
    }
    if !pattern.is_match(text) {
        errors.push(error());
    }
    errors
}

/// One segment of a URL.
pub fn path_segment(text: &str) -> Vec<String> {
    if text == "." || text == ".." {
        return vec![format!("may not be '{text}'")];
    }
    ["/", "%"].iter().filter(|c| text.contains(**c)).map(|c| format!("may not contain '{c}'")).collect()
}

/// `[prefix/]name`, as of label keys.
pub fn qualified_name(text: &str) -> Vec<String> {
    static PATTERN: LazyLock<Regex> = LazyLock::new(|| whole(QUALIFIED));
    let says = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
                character";
    let mut errors = Vec::new();
    let parts: Vec<&str> = text.split('/').collect();
    let name = match parts[..] {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                errors.push("prefix part must be non-empty".to_owned());
            } else {
                errors.extend(dns1123_subdomain(prefix).into_iter().map(|e| format!("prefix part {e}")));
            }
            name
        }
        _ => {
            let says = "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and \
                        end with an alphanumeric character";
            let text = regex_error(says, QUALIFIED, &["MyName", "my.name", "123-abc"]);
            return vec![format!("{text} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')")];
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        errors.push(format!("name part {}", too_long(63)));
    }
    if !PATTERN.is_match(name) {
        errors.push(format!("name part {}", regex_error(says, QUALIFIED, &["MyName", "my.name", "123-abc"])));
    }
    errors
}

/// The value of a label.
pub fn label_value(text: &str) -> Vec<String> {
    static PATTERN: LazyLock<Regex> = LazyLock::new(|| whole(LABEL_VALUE));
    let says = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
                start and end with an alphanumeric character";
    check(text, 63, &PATTERN, || regex_error(says, LABEL_VALUE, &["MyValue", "my_value", "12345"]))
}

/// A key of ConfigMap and Secret data.
pub fn config_map_key(text: &str) -> Vec<String> {
    static PATTERN: LazyLock<Regex> = LazyLock::new(|| whole(CONFIG_MAP_KEY));
    let says = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
    let mut errors =
        check(text, 253, &PATTERN, || regex_error(says, CONFIG_MAP_KEY, &["key.name", "KEY_NAME", "key-name"]));
    match text {
        "." => errors.push("must not be '.'".to_owned()),
        ".." => errors.push("must not be '..'".to_owned()),
        text if text.starts_with("..") => errors.push("must not start with '..'".to_owned()),
        _ => {}
    }
    errors
}

/// A name in a kind's format; a prefix (generateName) may end in `-` or `.`.
pub fn name(format: NameFormat, text: &str, is_prefix: bool) -> Vec<String> {
    // Upstream masks a trailing dash with a letter before it checks.
    let masked = match text.strip_suffix('-') {
        Some(stem) if is_prefix && text.len() > 1 => format!("{stem}a"),
        _ => text.to_owned(),
    };
    match format {
        NameFormat::Subdomain => dns1123_subdomain(&masked),
        NameFormat::Label => dns1123_label(&masked),
        NameFormat::Dns1035Label => dns1035_label(&masked),
        NameFormat::PathSegment => path_segment(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_upstreams() {
        assert_eq!(
            dns1123_subdomain("X"),
            [
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start \
             and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ]
        );
        assert_eq!(
            dns1123_label("a.b"),
            [
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end \
             with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ]
        );
        assert_eq!(dns1123_label(&"a".repeat(64)), ["must be no more than 63 characters"]);
    }

    #[test]
    fn names() {
        let check = |errors: Vec<String>, expect: bool| assert_eq!(errors.is_empty(), expect, "{errors:?}");
        check(dns1123_subdomain("a.b-c.d"), true);
        check(dns1123_subdomain("a..b"), false);
        check(dns1123_subdomain("a\n"), false);
        check(dns1035_label("1a"), false);
        check(path_segment("system:x"), true);
        check(path_segment("a/b"), false);
        check(qualified_name("example.com/My_name"), true);
        check(qualified_name("/a"), false);
        check(qualified_name("a/b/c"), false);
        check(label_value(""), true);
        check(label_value("-a"), false);
        check(config_map_key("lima.yaml"), true);
        check(config_map_key("a/b"), false);
        check(name(NameFormat::Subdomain, "a-", true), true);
        check(name(NameFormat::Subdomain, "a-", false), false);
    }
}
