//! An answer before it is HTTP: a code, headers, and bytes or a stream.
//!
//! Handlers make answers; [`Answer::into_response`] adds what every response has and compresses
//! what is long, piece by piece.

use std::collections::HashSet;

use axum::body::Body;
use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, VARY, WARNING,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use rdd_api::Status;
use serde_json::Value;

use crate::negotiate::{Agreed, Encoding};
use crate::pieces::Pieces;

/// Bodies from this size on are compressed for clients that take it, as upstream does.
const COMPRESS_FROM: usize = 128 * 1024;
/// Warnings of one request are cut when they are longer than this together, to this each.
const WARNINGS_LIMIT: usize = 4096;
const WARNING_CUT: usize = 256;
/// No more warnings of one request are told: Python's clients refuse answers with more than 100 headers.
const WARNINGS_MOST: usize = 64;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Content,
}

/// What an answer carries.
#[derive(Debug)]
pub(crate) enum Content {
    /// All of it.
    Whole(Bytes),
    /// A text that may be long, made while it is sent.
    Pieces(Pieces),
    /// What comes as it happens.
    Stream(Body),
}

impl Answer {
    /// Makes an answer of bytes.
    pub(crate) fn bytes(code: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self { code, headers, body: Content::Whole(body.into()) }
    }

    /// Makes an answer of plain text.
    pub(crate) fn text(code: u16, text: impl Into<String>) -> Self {
        Self::bytes(code, "text/plain; charset=utf-8", text.into())
            .with_header("x-content-type-options", HeaderValue::from_static("nosniff"))
    }

    /// Makes an answer of JSON.
    pub(crate) fn json(code: u16, value: &Value, pretty: bool) -> Self {
        Self::bytes(code, "application/json", json_text(value, pretty))
    }

    /// Makes an answer of a value, as agreed on.
    pub(crate) fn value(code: u16, value: &Value, agreed: Agreed) -> Self {
        match agreed.encoding {
            Encoding::Json => Self::json(code, value, agreed.pretty),
            Encoding::Yaml => Self::bytes(code, agreed.encoding.content_type(), rdd_schema::yaml::print(value)),
        }
    }

    /// Makes an answer of a failure. Always JSON: every client reads it.
    pub(crate) fn status(status: &Status) -> Self {
        let code = if (100..600).contains(&status.code) { status.code } else { 500 };
        let mut answer = Self::json(code, &status.to_json(), false);
        if let Some(seconds) = status.retry_after() {
            answer.headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        answer
    }

    /// Makes an answer that streams.
    pub(crate) fn stream(content_type: &'static str, body: Body) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self { code: 200, headers, body: Content::Stream(body) }
    }

    /// Makes an answer of a text in pieces.
    pub(crate) fn pieces(content_type: &'static str, pieces: Pieces) -> Self {
        Self { body: Content::Pieces(pieces), ..Self::bytes(200, content_type, Bytes::new()) }
    }

    /// Adds a header.
    pub(crate) fn with_header(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    /// Adds `Warning` headers, one per text that is not told yet, and only so many that clients can take them.
    pub(crate) fn with_warnings(mut self, warnings: &[String]) -> Self {
        let mut seen = HashSet::new();
        let new: Vec<&str> = warnings.iter().map(String::as_str).filter(|text| seen.insert(*text)).collect();
        let cut = new.iter().map(|text| text.chars().count()).sum::<usize>() > WARNINGS_LIMIT;
        let mut told: HashSet<HeaderValue> = self.headers.get_all(WARNING).iter().cloned().collect();
        let mut written = 0;
        for text in new.into_iter().take(WARNINGS_MOST) {
            if written >= WARNINGS_LIMIT {
                break;
            }
            let end = if cut { WARNING_CUT } else { usize::MAX };
            let mut quoted = String::from("299 - \"");
            for c in text.chars().filter(|c| !c.is_control()).take(end) {
                if matches!(c, '"' | '\\') {
                    quoted.push('\\');
                }
                quoted.push(c);
                written += 1;
            }
            quoted.push('"');
            if let Ok(value) = HeaderValue::from_bytes(quoted.as_bytes())
                && told.insert(value.clone())
            {
                self.headers.append(WARNING, value);
            }
        }
        self
    }

    /// Turns the answer into HTTP.
    pub(crate) async fn into_response(self, method: &Method, request: &HeaderMap) -> Response<Body> {
        let Self { code, mut headers, body } = self;
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
        let body = match body {
            Content::Stream(body) => Ok(body),
            Content::Whole(bytes) if bytes.len() < COMPRESS_FROM || !takes_gzip(request) => Err(bytes),
            Content::Whole(bytes) => Ok(compress(&mut headers, Pieces::of(bytes))),
            Content::Pieces(pieces) => match pieces.whole_below(COMPRESS_FROM).await {
                Ok(bytes) => Err(bytes),
                Err(pieces) if takes_gzip(request) => Ok(compress(&mut headers, pieces)),
                Err(pieces) => Ok(pieces.into_body()),
            },
        };
        let body = body.unwrap_or_else(|bytes| {
            if code != 304 && code != 204 {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
            }
            Body::from(bytes)
        });
        let body = if method == Method::HEAD { Body::empty() } else { body };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        *response.headers_mut() = headers;
        response
    }
}

impl From<Status> for Answer {
    fn from(status: Status) -> Self {
        Self::status(&status)
    }
}

/// Prints JSON with a line feed at the end, as Go does.
pub(crate) fn json_text(value: &Value, pretty: bool) -> Vec<u8> {
    let printed = if pretty { serde_json::to_vec_pretty(value) } else { serde_json::to_vec(value) };
    let mut bytes = printed.expect("a JSON value prints");
    bytes.push(b'\n');
    bytes
}

fn takes_gzip(request: &HeaderMap) -> bool {
    let values = request.get_all(ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok());
    values.flat_map(|v| v.split(',')).any(|one| {
        let mut parts = one.split(';').map(str::trim);
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip")) && !parts.any(|p| p == "q=0")
    })
}

/// Compresses a text while it is sent; its length is then known only at the end.
fn compress(headers: &mut HeaderMap, pieces: Pieces) -> Body {
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    pieces.into_gzip_body()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_told_once_and_not_without_end() {
        let answer = Answer::text(200, "").with_warnings(&["a".to_owned()]).with_warnings(&["a".to_owned()]);
        assert_eq!(answer.headers.get_all(WARNING).iter().count(), 1);
        let many: Vec<String> = (0..40_000).map(|i| format!("unknown field \"spec.{i}\"")).collect();
        let answer = Answer::text(200, "").with_warnings(&many);
        let told: usize = answer.headers.get_all(WARNING).iter().map(HeaderValue::len).sum();
        assert!(told < 2 * WARNINGS_LIMIT, "{told}");
        let short: Vec<String> = (0..200).map(|i| i.to_string()).collect();
        let answer = Answer::text(200, "").with_warnings(&short);
        assert_eq!(answer.headers.get_all(WARNING).iter().count(), WARNINGS_MOST);
    }

    #[test]
    fn warnings_are_quoted_once_each() {
        let texts = ["unknown field \"spec.foo\"".to_owned(), "unknown field \"spec.foo\"".to_owned(), "b".to_owned()];
        let answer = Answer::text(200, "").with_warnings(&texts);
        let seen: Vec<_> = answer.headers.get_all(WARNING).iter().collect();
        assert_eq!(seen, [r#"299 - "unknown field \"spec.foo\"""#, r#"299 - "b""#]);
        let long = ["x".repeat(5000)];
        let answer = Answer::text(200, "").with_warnings(&long);
        assert_eq!(answer.headers[WARNING].len(), WARNING_CUT + "299 - \"\"".len());
    }
}
