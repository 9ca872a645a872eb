//! What a URL and a method ask for: API objects, or some other path.
//!
//! Pure; used by the pipeline before authorization, and by the resource handlers.

use http::Method;

/// What a URL names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// API objects.
    Resource(ResourcePath),
    /// Anything else, without its trailing slash; `/` for the root.
    Path(String),
}

/// The parts of a resource URL. Empty means absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResourcePath {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: String,
    pub(crate) resource: String,
    pub(crate) name: String,
    pub(crate) subresource: String,
    /// The deprecated `watch/` prefix.
    pub(crate) watch_prefix: bool,
}

/// Reads a URL path. Segments are decoded one by one, so a name may hold an encoded slash or colon.
pub(crate) fn parse(path: &str) -> Route {
    let segments: Vec<String> = path.split('/').filter(|s| !s.is_empty()).map(percent_decode).collect();
    let texts: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (group, version, rest) = match texts.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        other => return Route::Path(format!("/{}", other.join("/"))),
    };
    let (watch_prefix, rest) = match rest {
        ["watch", rest @ ..] if !rest.is_empty() => (true, rest),
        rest => (false, rest),
    };
    let (namespace, rest) = match rest {
        // The namespace itself; its request namespace is its own name.
        ["namespaces", name] => (*name, rest),
        ["namespaces", name, "status" | "finalize"] => (*name, rest),
        ["namespaces", name, rest @ ..] if !rest.is_empty() => (*name, rest),
        rest => ("", rest),
    };
    Route::Resource(ResourcePath {
        group: group.to_owned(),
        version: version.to_owned(),
        namespace: namespace.to_owned(),
        resource: rest.first().copied().unwrap_or_default().to_owned(),
        name: rest.get(1).copied().unwrap_or_default().to_owned(),
        subresource: rest.get(2..).unwrap_or_default().join("/"),
        watch_prefix,
    })
}

/// Returns the verb of a resource request.
pub(crate) fn verb(method: &Method, path: &ResourcePath, watch: bool) -> &'static str {
    let collection = path.name.is_empty();
    match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if collection => "deletecollection",
        Method::DELETE => "delete",
        _ if path.watch_prefix => "watch",
        _ if collection && watch => "watch",
        _ if collection => "list",
        _ => "get",
    }
}

/// Decodes `%XX`; a malformed escape stays as it is.
pub(crate) fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok()))
            .flatten();
        match escaped {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expect: &str) {
        let seen = match parse(path) {
            Route::Path(path) => format!("path {path}"),
            Route::Resource(r) => {
                let watch = if r.watch_prefix { "watch " } else { "" };
                format!("{watch}{}|{}|{}|{}|{}|{}", r.group, r.version, r.namespace, r.resource, r.name, r.subresource)
            }
        };
        assert_eq!(seen, expect, "{path}");
    }

    #[test]
    fn urls_are_taken_apart() {
        check("/", "path /");
        check("/api/v1/", "path /api/v1");
        check("/apis/example.com/v1", "path /apis/example.com/v1");
        check("/healthz/ping", "path /healthz/ping");
        check("/api/v1/configmaps", "|v1||configmaps||");
        check("/api/v1/namespaces", "|v1||namespaces||");
        check("/api/v1/namespaces/a", "|v1|a|namespaces|a|");
        check("/api/v1/namespaces/a/finalize", "|v1|a|namespaces|a|finalize");
        check("/api/v1/namespaces/a/configmaps//b/", "|v1|a|configmaps|b|");
        check("/apis/example.com/v1/namespaces/a/widgets/b/status", "example.com|v1|a|widgets|b|status");
        check(
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Afoo",
            "rbac.authorization.k8s.io|v1||clusterroles|system:foo|",
        );
        check("/api/v1/watch/namespaces/a/configmaps", "watch |v1|a|configmaps||");
    }
}
