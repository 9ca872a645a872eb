//! Printing YAML in the look of `kubectl -o yaml`.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Prints one document: sorted keys, two spaces, lists not indented inside maps.
pub fn print(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => object(map, 0, &mut out),
        Value::Array(items) if !items.is_empty() => array(items, 0, &mut out),
        other => {
            scalar(other, 0, &mut out);
            out.push('\n');
        }
    }
    out
}

fn indent(level: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', level));
}

fn object(map: &Map<String, Value>, level: usize, out: &mut String) {
    let mut is_first = true;
    for key in sorted_keys(map) {
        if !is_first {
            indent(level, out);
        }
        is_first = false;
        text(key, level, Use::Key, out);
        out.push(':');
        entry(&map[key], level, out);
    }
}

/// go-yaml sorts keys naturally: digits by value, letters after everything else.
fn sorted_keys(map: &Map<String, Value>) -> Vec<&String> {
    let mut keys: Vec<&String> = map.keys().collect();
    keys.sort_by(|a, b| natural(a, b));
    keys
}

/// go-yaml's `keyList.Less`.
fn natural(a: &str, b: &str) -> std::cmp::Ordering {
    use std::cmp::Ordering::{Greater, Less};
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut in_digits = false;
    for i in 0..a.len().min(b.len()) {
        if a[i] == b[i] {
            in_digits = a[i].is_ascii_digit();
            continue;
        }
        let (letter_a, letter_b) = (a[i].is_alphabetic(), b[i].is_alphabetic());
        if letter_a && letter_b {
            return a[i].cmp(&b[i]);
        }
        if letter_a || letter_b {
            return match (in_digits, letter_a) {
                (true, true) | (false, false) => Less,
                (true, false) | (false, true) => Greater,
            };
        }
        let number = |chars: &[char]| -> (u128, usize) {
            let digits: String = chars.iter().take_while(|c| c.is_ascii_digit()).take(38).collect();
            (digits.parse().unwrap_or_default(), digits.len())
        };
        let zero_led = |chars: &[char]| chars[i] == '0' && !in_digits;
        if zero_led(&a) || zero_led(&b) {
            let (x, y) = (number(&a[i..]).0, number(&b[i..]).0);
            if x != y {
                return x.cmp(&y);
            }
        }
        let ((x, x_length), (y, y_length)) = (number(&a[i..]), number(&b[i..]));
        return match () {
            () if x_length > 0 && y_length > 0 && x != y => x.cmp(&y),
            () if x_length != y_length => x_length.cmp(&y_length),
            () => a[i].cmp(&b[i]),
        };
    }
    a.len().cmp(&b.len())
}

/// What follows `key:`.
fn entry(value: &Value, level: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            indent(level + 2, out);
            object(map, level + 2, out);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            indent(level, out);
            array(items, level, out);
        }
        other => {
            out.push(' ');
            scalar(other, level, out);
            out.push('\n');
        }
    }
}

fn array(items: &[Value], level: usize, out: &mut String) {
    let mut is_first = true;
    for item in items {
        if !is_first {
            indent(level, out);
        }
        is_first = false;
        out.push_str("- ");
        match item {
            Value::Object(map) if !map.is_empty() => object(map, level + 2, out),
            Value::Array(items) if !items.is_empty() => array(items, level + 2, out),
            other => {
                scalar(other, level, out);
                out.push('\n');
            }
        }
    }
}

fn scalar(value: &Value, level: usize, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => number(n, out),
        Value::String(s) => text(s, level, Use::Value, out),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
}

/// Go prints floats with the shortest digits, and an exponent from 21 digits on.
fn number(n: &serde_json::Number, out: &mut String) {
    match n.as_f64() {
        Some(f) if n.is_f64() && f.fract() == 0.0 && f.abs() < 1e21 => {
            let _ = write!(out, "{f:.0}");
        }
        Some(f) if n.is_f64() => {
            let text = format!("{f:e}");
            let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            match exponent.parse::<i32>().unwrap_or_default() {
                e if !(-4..21).contains(&e) => {
                    let sign = if e < 0 { '-' } else { '+' };
                    let _ = write!(out, "{mantissa}e{sign}{:02}", e.abs());
                }
                _ => {
                    let _ = write!(out, "{f}");
                }
            }
        }
        _ => {
            let _ = write!(out, "{n}");
        }
    }
}

/// Where a text stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Key,
    Value,
}

fn text(text: &str, level: usize, usage: Use, out: &mut String) {
    let folder = Folder::new(level, usage, out);
    if usage == Use::Value && text.contains('\n') && can_block(text) {
        block(text, level, out);
    } else if looks_like_another_type(text) {
        // go-yaml marks these for double quotes before it looks at the characters.
        double_quoted(text, folder, out);
    } else if is_plain(text) {
        plain(text, folder, out);
    } else if text.chars().all(is_printable) {
        single_quoted(text, folder, out);
    } else {
        double_quoted(text, folder, out);
    }
}

/// libyaml gives up on a block where a line ends with a blank or a character is not printable (tabs are not).
fn can_block(text: &str) -> bool {
    text.chars().all(|c| c == '\n' || is_printable(c))
        && !text.split('\n').any(|line| line.ends_with(' '))
        && text.chars().any(|c| c != '\n')
}

fn block(text: &str, level: usize, out: &mut String) {
    out.push('|');
    let first = text.trim_start_matches('\n');
    if text.starts_with([' ', '\n']) || first.starts_with(' ') {
        out.push('2');
    }
    match (text.ends_with('\n'), text.ends_with("\n\n")) {
        (false, _) => out.push('-'),
        (true, true) => out.push('+'),
        (true, false) => {}
    }
    // The caller ends the last line.
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            indent(level + 2, out);
            out.push_str(line);
        }
    }
}

/// go-yaml escapes everything beyond the basic plane.
fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
        && !matches!(c, '\u{2028}' | '\u{2029}')
}

/// Would a YAML 1.1 parser, ours or an old one, read the plain text as something else?
fn looks_like_another_type(text: &str) -> bool {
    const WORDS: [&str; 34] = [
        "", "~", "null", "Null", "NULL", "true", "True", "TRUE", "false", "False", "FALSE", "y", "Y", "yes", "Yes",
        "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off", "OFF", ".nan", ".NaN", ".NAN", ".inf",
        ".Inf", ".INF", "<<",
    ];
    if WORDS.contains(&text) {
        return true;
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    matches!(unsigned, ".inf" | ".Inf" | ".INF") || is_number(unsigned) || is_base_60(unsigned) || is_timestamp(text)
}

fn is_number(unsigned: &str) -> bool {
    let plain = unsigned.replace('_', "");
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') || plain.is_empty() {
        return false;
    }
    let radix = |prefix: &str, digits: &str| {
        plain.strip_prefix(prefix).is_some_and(|d| !d.is_empty() && d.chars().all(|c| digits.contains(c)))
    };
    if radix("0x", "0123456789abcdefABCDEF") || radix("0o", "01234567") || radix("0b", "01") {
        return true;
    }
    let (mantissa, exponent) = plain.split_once(['e', 'E']).unwrap_or((&plain, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |s: &str| s.chars().all(|c| c.is_ascii_digit());
    let has_digits = !whole.is_empty() || !fraction.is_empty();
    has_digits && digits(whole) && digits(fraction) && !exponent.is_empty() && digits(exponent)
}

/// `1:30`, `190:20:30.15`: sexagesimal numbers of YAML 1.1, which go-yaml quotes for old parsers.
fn is_base_60(unsigned: &str) -> bool {
    let plain = unsigned.replace('_', "");
    let mut parts = plain.split(':');
    let digits = |s: &str| !s.is_empty() && s.chars().all(|c| c.is_ascii_digit());
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    let minutes = |(index, part): (usize, &&str)| {
        let whole = if index + 1 == rest.len() { part.split('.').next().unwrap_or_default() } else { part };
        digits(whole) && whole.len() <= 2 && whole.parse::<u8>().is_ok_and(|n| n < 60)
    };
    digits(first) && !rest.is_empty() && rest.iter().enumerate().all(minutes)
}

/// Dates and times of YAML 1.1.
fn is_timestamp(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let (Some(year), Some(month), Some(rest)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let digits = |s: &str| !s.is_empty() && s.chars().all(|c| c.is_ascii_digit());
    let day: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let tail = &rest[day.len()..];
    let is_date = year.len() == 4 && digits(year) && digits(month) && month.len() <= 2 && (1..=2).contains(&day.len());
    if !is_date || tail.is_empty() {
        return is_date;
    }
    let Some(time) = tail.strip_prefix(['T', 't', ' ']) else { return false };
    let mut clock = time.splitn(3, ':');
    let (Some(hour), Some(minute), Some(second)) = (clock.next(), clock.next(), clock.next()) else { return false };
    digits(hour) && digits(minute) && is_second(second, tail.starts_with(' '))
}

/// Seconds, a fraction, and a zone unless the time is written with a blank.
fn is_second(text: &str, without_zone: bool) -> bool {
    let zone = text.find(['Z', '+', '-']).unwrap_or(text.len());
    let (second, zone) = text.split_at(zone);
    let (whole, fraction) = second.split_once('.').unwrap_or((second, "0"));
    let digits = |s: &str| !s.is_empty() && s.chars().all(|c| c.is_ascii_digit());
    let is_zone = match zone {
        "" => without_zone,
        "Z" => !without_zone,
        offset => {
            !without_zone && offset.len() == 6 && offset[1..].replace(':', "").chars().all(|c| c.is_ascii_digit())
        }
    };
    digits(whole) && digits(fraction) && is_zone
}

/// libyaml's `yaml_emitter_analyze_scalar`: whether a text may stand without quotes in a block.
fn is_plain(text: &str) -> bool {
    let mut chars = text.chars().peekable();
    let Some(first) = text.chars().next() else { return false };
    if text.starts_with("---") || text.starts_with("...") {
        return false;
    }
    if text.starts_with(' ') || text.ends_with(' ') || text.contains(['\n', '\t']) || !text.chars().all(is_printable) {
        return false;
    }
    let second_is_blank = text.chars().nth(1).is_none_or(|c| c == ' ');
    match first {
        '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => return false,
        '-' | '?' | ':' if second_is_blank => return false,
        _ => {}
    }
    let mut previous = ' ';
    while let Some(c) = chars.next() {
        let followed_by_blank = chars.peek().is_none_or(|n| *n == ' ');
        if c == ':' && followed_by_blank || c == '#' && previous == ' ' {
            return false;
        }
        previous = c;
    }
    true
}

/// Lines are folded at the first single blank behind this column.
const WIDTH: usize = 80;

/// Writes a text, breaking long lines as libyaml does. `write` writes one character.
struct Folder {
    column: usize,
    indent: Option<usize>,
    after_blank: bool,
}

impl Folder {
    /// Keys are never folded.
    fn new(level: usize, usage: Use, out: &str) -> Self {
        let line = out.rfind('\n').map_or(out, |at| &out[at + 1..]);
        let indent = (usage == Use::Value).then_some(level + 2);
        Self { column: line.chars().count(), indent, after_blank: false }
    }

    /// Breaks the line instead of writing this blank, if it is time. Returns whether it did.
    fn breaks(&mut self, may_break: bool, out: &mut String) -> bool {
        let was_after_blank = std::mem::replace(&mut self.after_blank, true);
        match self.indent {
            Some(level) if may_break && !was_after_blank && self.column > WIDTH => {
                out.push('\n');
                indent(level, out);
                self.column = level;
                true
            }
            _ => false,
        }
    }

    fn wrote(&mut self, count: usize, was_blank: bool) {
        self.column += count;
        self.after_blank = was_blank;
    }
}

fn plain(text: &str, mut folder: Folder, out: &mut String) {
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == ' ' && folder.breaks(chars.peek() != Some(&' '), out) {
            continue;
        }
        out.push(c);
        folder.wrote(1, c == ' ');
    }
}

fn single_quoted(text: &str, mut folder: Folder, out: &mut String) {
    out.push('\'');
    folder.column += 1;
    let mut chars = text.chars().enumerate().peekable();
    while let Some((index, c)) = chars.next() {
        let next = chars.peek().map(|(_, c)| *c);
        if c == ' ' && folder.breaks(index > 0 && next.is_some_and(|n| n != ' '), out) {
            continue;
        }
        let times = if c == '\'' { 2 } else { 1 };
        out.extend(std::iter::repeat_n(c, times));
        folder.wrote(times, c == ' ');
    }
    out.push('\'');
}

fn double_quoted(text: &str, mut folder: Folder, out: &mut String) {
    out.push('"');
    folder.column += 1;
    let mut chars = text.chars().enumerate().peekable();
    while let Some((index, c)) = chars.next() {
        let next = chars.peek().map(|(_, c)| *c);
        if c == ' ' && folder.breaks(index > 0 && next.is_some(), out) {
            if next == Some(' ') {
                out.push('\\');
                folder.column += 1;
            }
            continue;
        }
        let before = out.len();
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\u{1b}' => out.push_str("\\e"),
            '\u{85}' => out.push_str("\\N"),
            '\u{2028}' => out.push_str("\\L"),
            '\u{2029}' => out.push_str("\\P"),
            '\u{feff}' => out.push_str("\\uFEFF"),
            c if is_printable(c) => out.push(c),
            c if (c as u32) <= 0xff => {
                let _ = write!(out, "\\x{:02X}", c as u32);
            }
            c if (c as u32) <= 0xffff => {
                let _ = write!(out, "\\u{:04X}", c as u32);
            }
            c => {
                let _ = write!(out, "\\U{:08X}", c as u32);
            }
        }
        folder.wrote(out[before..].chars().count(), c == ' ');
    }
    out.push('"');
}
