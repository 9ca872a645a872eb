//! The string formats that the API server checks. Formats it does not know say nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use base64::Engine as _;
use regex::Regex;

use crate::validation;

macro_rules! pattern {
    ($text:expr) => {{
        static PATTERN: LazyLock<Regex> = LazyLock::new(|| Regex::new($text).expect("a fixed pattern compiles"));
        &*PATTERN
    }};
}

/// Returns whether `text` has the format; true for formats that are not known.
pub(crate) fn matches(format: &str, text: &str) -> bool {
    // go-openapi writes date-time and datetime, and drops hyphens when it looks formats up.
    match format.replace('-', "").as_str() {
        "datetime" => text.parse::<jiff::Timestamp>().is_ok() && text.contains(['T', 't']),
        "date" => is_date(text),
        "duration" => is_duration(text),
        "byte" => base64::engine::general_purpose::STANDARD.decode(text.replace(['\n', '\r'], "")).is_ok(),
        "uuid" => pattern!(r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$").is_match(text),
        "uuid3" => pattern!(r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$").is_match(text),
        "uuid4" => {
            pattern!(r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$").is_match(text)
        }
        "uuid5" => {
            pattern!(r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$").is_match(text)
        }
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "mac" => pattern!(
            r"(?i)^([0-9a-f]{2}([:-][0-9a-f]{2}){5}|[0-9a-f]{2}([:-][0-9a-f]{2}){7}|[0-9a-f]{4}(\.[0-9a-f]{4}){2})$"
        )
        .is_match(text),
        "email" => pattern!(r"^[^@\s]+@[^@\s]+$").is_match(text),
        "hostname" => is_hostname(text),
        "uri" => pattern!(r"^[A-Za-z][A-Za-z0-9+.-]*:\S+$").is_match(text) || text.starts_with('/'),
        "hexcolor" => pattern!(r"(?i)^#?([0-9a-f]{3}|[0-9a-f]{6})$").is_match(text),
        "rgbcolor" => is_rgb(text),
        "ssn" => pattern!(r"^\d{3}[- ]?\d{2}[- ]?\d{4}$").is_match(text),
        "bsonobjectid" => pattern!(r"(?i)^[0-9a-f]{24}$").is_match(text),
        "creditcard" => is_credit_card(text),
        "isbn" => is_isbn10(text) || is_isbn13(text),
        "isbn10" => is_isbn10(text),
        "isbn13" => is_isbn13(text),
        "k8sshortname" => validation::dns1123_label(text).is_empty(),
        "k8slongname" => validation::dns1123_subdomain(text).is_empty(),
        _ => true,
    }
}

fn is_date(text: &str) -> bool {
    pattern!(r"^\d{4}-\d{2}-\d{2}$").is_match(text) && text.parse::<jiff::civil::Date>().is_ok()
}

/// Go's durations, and go-openapi's long unit names.
fn is_duration(text: &str) -> bool {
    pattern!(r"^[+-]?(0|((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)$").is_match(text)
        || pattern!(r"(?i)^\s*(\d+\s*(ns|nano(second)?s?|us|µs|micro(second)?s?|ms|milli(second)?s?|s|sec(ond)?s?|m|min(ute)?s?|h|hr|hours?|d|days?|w|wk|weeks?)\s*)+$")
            .is_match(text)
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let (Ok(address), Ok(bits)) = (address.parse::<IpAddr>(), bits.parse::<u8>()) else { return false };
    bits <= if address.is_ipv4() { 32 } else { 128 }
}

fn is_hostname(text: &str) -> bool {
    let label = pattern!(r"(?i)^([a-z0-9_]|[a-z0-9_][a-z0-9_-]*[a-z0-9_])$");
    text.len() <= 253 && text.trim_end_matches('.').split('.').all(|l| l.len() <= 63 && label.is_match(l))
}

fn is_rgb(text: &str) -> bool {
    let parts = pattern!(r"^rgb\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\)$").captures(text);
    parts.is_some_and(|p| (1..=3).all(|i| p[i].parse::<u16>().is_ok_and(|n| n <= 255)))
}

fn digits(text: &str) -> Option<Vec<u32>> {
    text.chars().filter(|c| !matches!(c, '-' | ' ')).map(|c| c.to_digit(10)).collect()
}

fn is_credit_card(text: &str) -> bool {
    let Some(digits) = digits(text).filter(|d| (13..=19).contains(&d.len())) else { return false };
    let doubled = |(i, d): (usize, &u32)| match (i % 2, d * 2) {
        (1, twice) if twice > 9 => twice - 9,
        (1, twice) => twice,
        _ => *d,
    };
    digits.iter().rev().enumerate().map(doubled).sum::<u32>().is_multiple_of(10)
}

fn is_isbn10(text: &str) -> bool {
    let plain: Vec<char> = text.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
    let value = |(i, c): (usize, &char)| match c {
        'X' | 'x' if i == 9 => Some(10),
        c => c.to_digit(10),
    };
    let digits: Option<Vec<u32>> = plain.iter().enumerate().map(value).collect();
    digits.is_some_and(|d| d.len() == 10 && d.iter().zip(1u32..).map(|(d, i)| d * i).sum::<u32>().is_multiple_of(11))
}

fn is_isbn13(text: &str) -> bool {
    let weigh = |(i, d): (usize, &u32)| if i % 2 == 0 { *d } else { d * 3 };
    digits(text).is_some_and(|d| d.len() == 13 && d.iter().enumerate().map(weigh).sum::<u32>().is_multiple_of(10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let check =
            |format: &str, text: &str, expect: bool| assert_eq!(matches(format, text), expect, "{format} {text}");
        check("date-time", "2025-01-01T00:00:00Z", true);
        check("date-time", "2025-01-01", false);
        check("date", "2025-02-30", false);
        check("date", "2025-02-28", true);
        check("duration", "1h30m", true);
        check("duration", "soon", false);
        check("ipv4", "10.0.0.1", true);
        check("ipv4", "::1", false);
        check("cidr", "10.0.0.0/33", false);
        check("byte", "YQ==", true);
        check("byte", "%", false);
        check("uuid", "123e4567-e89b-12d3-a456-426614174000", true);
        check("hostname", "a.example.com", true);
        check("hostname", "-a", false);
        check("isbn10", "0-306-40615-2", true);
        check("isbn13", "978-0-306-40615-7", true);
        check("creditcard", "4111111111111111", true);
        check("creditcard", "4111111111111112", false);
        check("int64", "whatever", true);
        check("nobody-knows", "whatever", true);
    }
}
