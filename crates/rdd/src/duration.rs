//! How long to wait, as the flags say it.

use std::time::Duration;

/// How long to wait: `None` without limit.
pub(crate) type Limit = Option<Duration>;

/// Reads a limit, in Go's words. Zero and less mean none.
pub(crate) fn parse_limit(text: &str) -> Result<Limit, String> {
    let given = rdd_kubectl::parse_go_duration(text)
        .map_err(|_| format!("invalid duration {text:?}: write it as in 500ms, 90s or 1m30s"))?;
    Ok((!given.is_negative && !given.is_zero()).then_some(given.length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        for (text, milliseconds) in [("1ms", 1), ("90s", 90_000), ("1m30s", 90_000), ("+2s", 2000)] {
            assert_eq!(parse_limit(text), Ok(Some(Duration::from_millis(milliseconds))), "{text}");
        }
        for text in ["0", "0s", "-5s", "-0"] {
            assert_eq!(parse_limit(text), Ok(None), "{text}");
        }
        for text in ["", "5", "s", "5x", "five"] {
            assert!(parse_limit(text).is_err(), "{text}");
        }
    }
}
