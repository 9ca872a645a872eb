//! Log lines on standard error, in the formats that scripts know from the original (logrus).
//!
//! Not on a terminal: `time="…" level=info msg="…" key=value`. On one: `INFO[0000] …`. As JSON: one
//! object per line with `level`, `msg`, `time` and the fields.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io::{IsTerminal, Write as _};
use std::time::Instant;

use rdd_host::environment;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Level as TracingLevel, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// A level of the original, the least talkative first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Nothing that we ever say.
    Panic,
    /// Only why a command failed.
    Fatal,
    /// Failures.
    Error,
    /// What people should look at.
    Warning,
    /// What happens.
    Info,
    /// How it happens.
    Debug,
    /// Every step.
    Trace,
}

impl Level {
    /// Reads a level.
    pub(crate) fn parse(text: &str) -> Result<Level, String> {
        match text.to_ascii_lowercase().as_str() {
            "panic" => Ok(Level::Panic),
            "fatal" => Ok(Level::Fatal),
            "error" => Ok(Level::Error),
            "warn" | "warning" => Ok(Level::Warning),
            "info" => Ok(Level::Info),
            "debug" => Ok(Level::Debug),
            "trace" => Ok(Level::Trace),
            _ => Err(format!("not a valid logrus Level: {text:?}")),
        }
    }

    /// Returns the level of a service with this verbosity.
    pub(crate) fn of_verbosity(verbosity: u8) -> Level {
        match verbosity {
            0 | 1 => Level::Info,
            2 | 3 => Level::Debug,
            _ => Level::Trace,
        }
    }

    /// Returns the verbosity of a service started at this level.
    pub(crate) fn verbosity(self) -> u8 {
        match self {
            Level::Debug => 2,
            Level::Trace => 4,
            _ => 0,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Level::Panic => "panic",
            Level::Fatal => "fatal",
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }

    fn filter(self) -> LevelFilter {
        match self {
            Level::Panic | Level::Fatal => LevelFilter::OFF,
            Level::Error => LevelFilter::ERROR,
            Level::Warning => LevelFilter::WARN,
            Level::Info => LevelFilter::INFO,
            Level::Debug => LevelFilter::DEBUG,
            Level::Trace => LevelFilter::TRACE,
        }
    }
}

impl From<TracingLevel> for Level {
    fn from(level: TracingLevel) -> Self {
        match level {
            TracingLevel::ERROR => Level::Error,
            TracingLevel::WARN => Level::Warning,
            TracingLevel::INFO => Level::Info,
            TracingLevel::DEBUG => Level::Debug,
            TracingLevel::TRACE => Level::Trace,
        }
    }
}

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people, and for scripts that match texts.
    Text,
    /// For programs.
    Json,
}

impl Format {
    /// Reads a format; the empty one is text.
    pub(crate) fn parse(text: &str) -> Result<Format, String> {
        match text {
            "" | "text" => Ok(Format::Text),
            "json" => Ok(Format::Json),
            _ => Err(format!("invalid log format: {text:?}")),
        }
    }
}

/// Where and how lines are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logger {
    level: Level,
    format: Format,
    is_terminal: bool,
    has_colour: bool,
    begin: Instant,
}

impl Logger {
    /// Makes a logger for standard error as it is now.
    pub(crate) fn new(level: Level, format: Format) -> Logger {
        let is_terminal = std::io::stderr().is_terminal();
        let has_colour = obeys_escapes();
        Logger { level, format, is_terminal, has_colour, begin: Instant::now() }
    }

    /// Makes everything that is logged in this process go through this logger.
    pub(crate) fn install(self) {
        let ours = self.level.filter();
        // What libraries find worth a line is rarely so for people.
        let others = if self.level >= Level::Trace { LevelFilter::DEBUG } else { ours.min(LevelFilter::WARN) };
        // The client of the API tells the same failures that we tell, without saying what was tried.
        let client = if self.level >= Level::Debug { others } else { LevelFilter::OFF };
        let filter = Targets::new().with_default(others).with_target("kube_client", client).with_target("rdd", ours);
        let layer = Lines(self).with_filter(filter);
        // A second subscriber in one process is a mistake that must not end it.
        let _ = tracing_subscriber::registry().with(layer).try_init();
    }

    /// Says why a command failed, at a level that tracing does not know. The hint follows on a line
    /// of its own.
    pub(crate) fn failure(&self, level: Level, message: &str, hint: Option<&str>) {
        if level > self.level {
            return;
        }
        let mut fields = Vec::new();
        if let (Format::Json, Some(hint)) = (self.format, hint) {
            fields.push(("hint".to_owned(), Value::from(hint)));
        }
        self.write(level, message, &fields);
        if let (Format::Text, Some(hint)) = (self.format, hint) {
            write_whole(&format!("hint: {hint}\n"));
        }
    }

    fn write(&self, level: Level, message: &str, fields: &[(String, Value)]) {
        write_whole(&self.render(level, message, fields, &now()));
    }

    fn render(&self, level: Level, message: &str, fields: &[(String, Value)], time: &str) -> String {
        let mut line = String::new();
        match self.format {
            Format::Json => {
                let mut object: BTreeMap<&str, Value> =
                    fields.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
                object.insert("level", level.name().into());
                object.insert("msg", message.into());
                object.insert("time", time.into());
                line = serde_json::to_string(&object).expect("JSON values have a JSON form");
            }
            Format::Text if self.is_terminal => {
                let name = &level.name().to_ascii_uppercase()[..4];
                let (colour, end) = if self.has_colour { (colour_of(level), "\x1b[0m") } else { ("", "") };
                let seconds = self.begin.elapsed().as_secs();
                let width = if fields.is_empty() { 0 } else { 44 };
                let _ = write!(line, "{colour}{name}{end}[{seconds:04}] {message:<width$}");
                for (name, value) in fields {
                    let _ = write!(line, " {colour}{name}{end}={}", quoted(&text_of(value)));
                }
            }
            Format::Text => {
                let _ = write!(line, "time=\"{time}\" level={} msg={}", level.name(), quoted(message));
                for (name, value) in fields {
                    let _ = write!(line, " {name}={}", quoted(&text_of(value)));
                }
            }
        }
        line.push('\n');
        line
    }
}

/// Returns whether standard error is a terminal that obeys escape sequences, and people want them.
pub(crate) fn obeys_escapes() -> bool {
    let term = environment::get_text(environment::TERM);
    wants_escapes(std::io::stderr().is_terminal(), term.as_deref(), environment::get(environment::NO_COLOR).is_some())
}

fn wants_escapes(is_terminal: bool, term: Option<&str>, is_colourless: bool) -> bool {
    is_terminal && term != Some("dumb") && !is_colourless
}

/// One line in one piece, so that lines of several threads do not mix. A reader that has gone is no
/// failure.
fn write_whole(line: &str) {
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

fn now() -> String {
    jiff::Zoned::now().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string().replace("+00:00", "Z")
}

fn colour_of(level: Level) -> &'static str {
    match level {
        Level::Panic | Level::Fatal | Level::Error => "\x1b[31m",
        Level::Warning => "\x1b[33m",
        Level::Info => "\x1b[36m",
        Level::Debug | Level::Trace => "\x1b[37m",
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Quotes a text as Go does, if it has anything that a reader of `key=value` could trip over.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._/@^+".contains(c);
    if text.chars().all(is_plain) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() && u32::from(c) < 0x100 => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Writes events of tracing as lines.
struct Lines(Logger);

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut parts = Parts::default();
        event.record(&mut parts);
        self.0.write(Level::from(*event.metadata().level()), &parts.message, &parts.fields);
    }
}

/// What an event holds.
#[derive(Default)]
struct Parts {
    message: String,
    fields: Vec<(String, Value)>,
}

impl Parts {
    fn add(&mut self, field: &Field, value: Value) {
        if field.name() == "message" {
            self.message = text_of(&value);
        } else {
            self.fields.push((field.name().to_owned(), value));
        }
    }
}

impl Visit for Parts {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, Value::from(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, Value::from(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, Value::from(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field, Value::from(value.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logger(format: Format, is_terminal: bool) -> Logger {
        Logger { level: Level::Info, format, is_terminal, has_colour: false, begin: Instant::now() }
    }

    #[track_caller]
    fn check(logger: &Logger, expect: &str) {
        let fields = [("pid".to_owned(), Value::from(7)), ("path".to_owned(), Value::from("a b"))];
        assert_eq!(logger.render(Level::Warning, "a \"b\"\n", &fields, "T"), expect);
    }

    #[test]
    fn lines() {
        check(&logger(Format::Text, false), "time=\"T\" level=warning msg=\"a \\\"b\\\"\\n\" pid=7 path=\"a b\"\n");
        check(
            &logger(Format::Json, true),
            "{\"level\":\"warning\",\"msg\":\"a \\\"b\\\"\\n\",\"path\":\"a b\",\"pid\":7,\"time\":\"T\"}\n",
        );
        let plain = logger(Format::Text, true).render(Level::Info, "hello", &[], "T");
        assert_eq!(plain, "INFO[0000] hello\n");
        let plain = logger(Format::Text, false).render(Level::Fatal, "plain-._/@^+9", &[], "T");
        assert_eq!(plain, "time=\"T\" level=fatal msg=plain-._/@^+9\n");
    }

    #[test]
    fn escapes_are_for_terminals_that_obey_them() {
        assert!(wants_escapes(true, Some("xterm"), false) && wants_escapes(true, None, false));
        assert!(!wants_escapes(true, Some("dumb"), false));
        assert!(!wants_escapes(true, Some("xterm"), true));
        assert!(!wants_escapes(false, Some("xterm"), false));
    }

    #[test]
    fn levels() {
        assert_eq!(Level::parse("WARN"), Ok(Level::Warning));
        assert_eq!(Level::parse("loud"), Err("not a valid logrus Level: \"loud\"".to_owned()));
        for (level, verbosity) in [(Level::Warning, 0), (Level::Info, 0), (Level::Debug, 2), (Level::Trace, 4)] {
            assert_eq!(level.verbosity(), verbosity);
        }
        assert_eq!(Format::parse("xml"), Err("invalid log format: \"xml\"".to_owned()));
    }

    #[test]
    fn times_are_rfc_3339() {
        let now = now();
        assert!(now.parse::<jiff::Timestamp>().is_ok(), "{now}");
    }
}
