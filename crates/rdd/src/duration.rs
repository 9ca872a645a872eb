//! Durations as Go writes them: `90s`, `1m30s`, `1.5h`, `0`.

use std::time::Duration;

/// How long to wait: `None` without limit.
pub(crate) type Limit = Option<Duration>;

/// Reads a limit. Zero and less mean none.
pub(crate) fn parse_limit(text: &str) -> Result<Limit, String> {
    let invalid = || format!("invalid duration {text:?}: write it as in 500ms, 90s or 1m30s");
    let (is_negative, mut rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if rest == "0" {
        return Ok(None);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(invalid)?;
        let number: f64 = rest[..number_end].parse().map_err(|_| invalid())?;
        rest = &rest[number_end..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match &rest[..unit_end] {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(invalid()),
        };
        seconds += number * unit;
        rest = &rest[unit_end..];
    }
    if is_negative || seconds <= 0.0 {
        return Ok(None);
    }
    Duration::try_from_secs_f64(seconds).map(Some).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        for (text, milliseconds) in
            [("1ms", 1), ("90s", 90_000), ("5m", 300_000), ("1m30s", 90_000), ("1.5h", 5_400_000), ("+2s", 2000)]
        {
            assert_eq!(parse_limit(text), Ok(Some(Duration::from_millis(milliseconds))), "{text}");
        }
        for text in ["0", "0s", "-5s", "-0"] {
            assert_eq!(parse_limit(text), Ok(None), "{text}");
        }
        for text in ["", "5", "s", "5x", "5s3", "1..2s", "-", "five"] {
            assert!(parse_limit(text).is_err(), "{text}");
        }
    }
}
