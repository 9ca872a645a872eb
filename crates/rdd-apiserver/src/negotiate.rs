//! Content negotiation: what the `Accept` header lets us answer.
//!
//! A clause that cannot be honoured is skipped for the next; when none is left the caller answers
//! 406. Only JSON and YAML are produced: every known client that asks for protobuf lists JSON too.

use http::HeaderMap;
use rdd_api::Status;

/// The encoding of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

impl Encoding {
    /// Returns the media type.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
        }
    }
}

/// The form that objects are turned into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transform {
    /// As they are.
    None,
    /// A `Table` of a `meta.k8s.io` version.
    Table(&'static str),
    /// `PartialObjectMetadata` of a `meta.k8s.io` version.
    Partial(&'static str),
    /// `PartialObjectMetadataList` of a `meta.k8s.io` version.
    PartialList(&'static str),
}

/// What was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) encoding: Encoding,
    pub(crate) transform: Transform,
    pub(crate) pretty: bool,
}

/// What answers objects when the client does not say.
pub(crate) const DEFAULT: Agreed = Agreed { encoding: Encoding::Json, transform: Transform::None, pretty: false };

/// The types that a 406 offers.
pub(crate) const OFFERED: &str = "application/json, application/yaml";

/// One clause of an `Accept` header.
#[derive(Debug)]
pub(crate) struct Clause<'a> {
    /// As in `application/json`, lower case.
    pub(crate) media_type: String,
    parameters: Vec<(String, &'a str)>,
}

impl Clause<'_> {
    /// Returns a parameter, whose name is in lower case.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    /// Returns whether the clause allows a media type, by name or by wildcard.
    pub(crate) fn allows(&self, media_type: &str) -> bool {
        let (kind, _) = media_type.split_once('/').unwrap_or((media_type, ""));
        self.media_type == media_type || self.media_type == "*/*" || self.media_type == format!("{kind}/*")
    }
}

/// Reads the `Accept` headers: best first, by `q` and then by position.
pub(crate) fn clauses(headers: &HeaderMap) -> Vec<Clause<'_>> {
    let texts = headers.get_all(http::header::ACCEPT).iter().filter_map(|v| v.to_str().ok());
    let mut ranked: Vec<(f32, Clause<'_>)> = texts
        .flat_map(|text| text.split(','))
        .map(str::trim)
        .filter(|clause| !clause.is_empty())
        .map(|clause| {
            let mut parts = clause.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
            let pair = |p| str::split_once(p, '=').unwrap_or((p, ""));
            let parameters: Vec<_> = parts
                .map(pair)
                .map(|(key, value)| (key.trim().to_ascii_lowercase(), value.trim().trim_matches('"')))
                .collect();
            let quality =
                parameters.iter().find(|(key, _)| key == "q").and_then(|(_, q)| q.parse().ok()).unwrap_or(1.0);
            (quality, Clause { media_type, parameters })
        })
        .filter(|(quality, _)| *quality > 0.0)
        .collect();
    ranked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    ranked.into_iter().map(|(_, clause)| clause).collect()
}

/// Agrees on an answer made of objects.
pub(crate) fn agree(headers: &HeaderMap, pretty_query: Option<bool>) -> Result<Agreed, Status> {
    let pretty = pretty_query.unwrap_or_else(|| is_browser(headers));
    let clauses = clauses(headers);
    if clauses.is_empty() {
        return Ok(Agreed { pretty, ..DEFAULT });
    }
    for clause in &clauses {
        let encoding = match clause.media_type.as_str() {
            "application/json" | "*/*" | "application/*" => Encoding::Json,
            "application/yaml" => Encoding::Yaml,
            _ => continue,
        };
        let Some(transform) = transform(clause) else { continue };
        let pretty = pretty || clause.parameter("pretty") == Some("1");
        return Ok(Agreed { encoding, transform, pretty });
    }
    Err(Status::not_acceptable(OFFERED))
}

/// Returns the transform that a clause asks for; `None` if it is not ours.
fn transform(clause: &Clause<'_>) -> Option<Transform> {
    let Some(wanted) = clause.parameter("as") else { return Some(Transform::None) };
    if clause.parameter("g") != Some("meta.k8s.io") {
        return None;
    }
    let version = match clause.parameter("v") {
        Some("v1") => "v1",
        Some("v1beta1") => "v1beta1",
        _ => return None,
    };
    match wanted {
        "Table" => Some(Transform::Table(version)),
        "PartialObjectMetadata" => Some(Transform::Partial(version)),
        "PartialObjectMetadataList" => Some(Transform::PartialList(version)),
        _ => None,
    }
}

/// Returns whether a person with a plain HTTP client is likely to read the answer.
fn is_browser(headers: &HeaderMap) -> bool {
    let agent = headers.get(http::header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    ["curl", "Wget", "Mozilla/5.0"].iter().any(|prefix| agent.starts_with(prefix))
}

/// Returns the media type of a `Content-Type`, lower case and without parameters.
pub(crate) fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(http::header::CONTENT_TYPE)?.to_str().ok()?;
    let media_type = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    (!media_type.is_empty()).then_some(media_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &str, expect: Option<(Encoding, Transform)>) {
        let mut headers = HeaderMap::new();
        if !accept.is_empty() {
            headers.insert(http::header::ACCEPT, accept.parse().expect("a header"));
        }
        let seen = agree(&headers, None).ok().map(|a| (a.encoding, a.transform));
        assert_eq!(seen, expect, "{accept}");
    }

    #[test]
    fn the_first_clause_that_can_be_honoured_wins() {
        use Encoding::*;
        use Transform::*;
        check("", Some((Json, None)));
        check("*/*", Some((Json, None)));
        check("application/vnd.kubernetes.protobuf,application/json", Some((Json, None)));
        check("application/vnd.kubernetes.protobuf", Option::None);
        check("application/yaml", Some((Yaml, None)));
        check("application/json;q=0.5, application/yaml", Some((Yaml, None)));
        check("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Some((Json, Table("v1"))));
        check("application/json;g=meta.k8s.io;v=v1beta1;as=Table", Some((Json, Table("v1beta1"))));
        check("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", Some((Json, None)));
        check(
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            Some((Json, PartialList("v1"))),
        );
        check("text/html", Option::None);
    }
}
