//! Go's durations: `90s`, `1h30m`, `1.5h`.

use std::time::Duration;

/// A text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing like a duration.
    #[error("time: invalid duration {}", rdd_api::field::quote(.0))]
    Invalid(String),
    /// A number without a unit.
    #[error("time: missing unit in duration {}", rdd_api::field::quote(.0))]
    MissingUnit(String),
    /// A unit that Go does not know.
    #[error("time: unknown unit {} in duration {}", rdd_api::field::quote(.unit), rdd_api::field::quote(.text))]
    UnknownUnit {
        /// The unit.
        unit: String,
        /// The whole text.
        text: String,
    },
}

/// A duration that may be negative, which kubectl reads as "very long".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoDuration {
    /// Whether a minus stood before it.
    pub is_negative: bool,
    /// How long.
    pub length: Duration,
}

impl GoDuration {
    /// Returns whether it is no time at all.
    pub fn is_zero(self) -> bool {
        self.length.is_zero()
    }
}

/// Reads a duration as Go's `time.ParseDuration` does.
pub fn parse_go_duration(text: &str) -> Result<GoDuration, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let (is_negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(GoDuration { is_negative: false, length: Duration::ZERO });
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut nanoseconds = 0f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = match &rest[..digits] {
            "" | "." => return Err(invalid()),
            number => number.parse().map_err(|_| invalid())?,
        };
        rest = &rest[digits..];
        let end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
        let scale = match &rest[..end] {
            "" => return Err(DurationError::MissingUnit(text.to_owned())),
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            unit => return Err(DurationError::UnknownUnit { unit: unit.to_owned(), text: text.to_owned() }),
        };
        nanoseconds += number * scale;
        rest = &rest[end..];
    }
    // Go's durations are 63 bits of nanoseconds.
    if nanoseconds >= 9.223_372_036_854_775e18 {
        return Err(invalid());
    }
    let length = Duration::try_from_secs_f64(nanoseconds / 1e9).map_err(|_| invalid())?;
    Ok(GoDuration { is_negative, length })
}

/// Prints how long ago something was, as kubectl's `HumanDuration`.
pub(crate) fn human(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1..0 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 if seconds % 60 == 0 => format!("{minutes}m"),
        120..600 => format!("{minutes}m{}s", seconds % 60),
        600..10800 => format!("{minutes}m"),
        10800..28800 if minutes % 60 == 0 => format!("{hours}h"),
        10800..28800 => format!("{hours}h{}m", minutes % 60),
        28800..172_800 => format!("{hours}h"),
        172_800..691_200 if hours % 24 == 0 => format!("{days}d"),
        172_800..691_200 => format!("{days}d{}h", hours % 24),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 if (days % 365) == 0 => format!("{}y", days / 365),
        63_072_000..252_288_000 => format!("{}y{}d", days / 365, days % 365),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_syntax() {
        let check = |text: &str, milliseconds: u64| {
            let parsed = parse_go_duration(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((parsed.is_negative, parsed.length), (false, Duration::from_millis(milliseconds)), "{text}");
        };
        check("0", 0);
        check("+5s", 5000);
        check("1h30m", 5_400_000);
        check("1.5h", 5_400_000);
        check(".5s", 500);
        check("1m0.25s", 60_250);
        check("100ms", 100);
        check("2000us", 2);
        check("2000µs", 2);
        assert!(parse_go_duration("-1s").expect("negative").is_negative);
        assert!(!parse_go_duration("-0").expect("zero").is_negative);
    }

    #[test]
    fn refusals() {
        let check = |text: &str, expect: &str| {
            assert_eq!(parse_go_duration(text).expect_err(text).to_string(), expect);
        };
        check("", "time: invalid duration \"\"");
        check("x", "time: invalid duration \"x\"");
        check(".", "time: invalid duration \".\"");
        check("-", "time: invalid duration \"-\"");
        check("30", "time: missing unit in duration \"30\"");
        check("1d", "time: unknown unit \"d\" in duration \"1d\"");
        check("3000000h", "time: invalid duration \"3000000h\"");
    }

    #[test]
    fn ages() {
        let check = |seconds: i64, expect: &str| assert_eq!(human(seconds), expect);
        check(-5, "<invalid>");
        check(-1, "0s");
        check(0, "0s");
        check(119, "119s");
        check(120, "2m");
        check(150, "2m30s");
        check(3600, "60m");
        check(10800, "3h");
        check(11460, "3h11m");
        check(86400, "24h");
        check(172_800, "2d");
        check(180_000, "2d2h");
        check(864_000, "10d");
        check(65_000_000, "2y22d");
        check(600_000_000, "19y");
    }
}
