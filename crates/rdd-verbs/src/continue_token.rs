//! Continue tokens: where a paged list goes on, and at which revision.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdd_api::Status;
use serde_json::{Value, json};

const VERSION: &str = "meta.k8s.io/v1";

/// Where a list goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Continue {
    /// The revision of the first page; `None` goes on with the latest state.
    pub(crate) revision: Option<u64>,
    /// The last key of the page before, without the list's prefix.
    pub(crate) after: String,
}

impl Continue {
    /// Prints the token.
    pub(crate) fn encode(&self) -> String {
        let revision = self.revision.map_or(json!(-1), |r| json!(r));
        let token = json!({"v": VERSION, "rv": revision, "start": format!("{}\0", self.after)});
        URL_SAFE_NO_PAD.encode(token.to_string())
    }

    /// Reads a token.
    pub(crate) fn decode(token: &str) -> Result<Self, Status> {
        let bad = |why: &str| Status::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
        let bytes = URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).map_err(|e| bad(&e.to_string()))?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|e| bad(&e.to_string()))?;
        if value.get("v").and_then(Value::as_str) != Some(VERSION) {
            return Err(bad("server does not recognize this encoded version"));
        }
        let start = value.get("start").and_then(Value::as_str).unwrap_or_default();
        if start.is_empty() {
            return Err(bad("encoded start key empty (version meta.k8s.io/v1)"));
        }
        let revision = match value.get("rv").and_then(Value::as_i64) {
            Some(-1) => None,
            Some(revision) if revision > 0 => Some(revision.unsigned_abs()),
            _ => return Err(bad("incorrect encoded start resourceVersion (version meta.k8s.io/v1)")),
        };
        Ok(Self { revision, after: start.trim_end_matches('\0').to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back() {
        for revision in [None, Some(7)] {
            let token = Continue { revision, after: "default/a".to_owned() };
            assert_eq!(Continue::decode(&token.encode()), Ok(token));
        }
    }

    #[test]
    fn others_are_refused() {
        let cases = ["%", "e30", &URL_SAFE_NO_PAD.encode(r#"{"v":"meta.k8s.io/v1","rv":0,"start":"a"}"#)];
        for token in cases {
            let refused = Continue::decode(token).expect_err("refused");
            assert_eq!(refused.code, 400, "{token}");
            let start = "invalid continue token: continue key is not valid: ";
            assert!(refused.message.starts_with(start), "{}", refused.message);
        }
    }
}
