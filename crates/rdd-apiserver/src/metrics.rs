//! `/metrics`: a few counters of what this server did, in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

/// The counters. Updated once per request.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<(String, String, u16), u64>>,
    inflight: AtomicI64,
    watches: AtomicI64,
}

/// Counts one thing that goes on, until it is dropped.
#[derive(Debug)]
pub(crate) struct Going<'a>(&'a AtomicI64);

impl Drop for Going<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// Counts a finished request. `resource` is empty for other paths.
    pub(crate) fn finished(&self, verb: &str, resource: &str, code: u16) {
        let mut requests = self.requests.lock().expect("no holder of this lock panics");
        *requests.entry((verb.to_owned(), resource.to_owned(), code)).or_default() += 1;
    }

    /// Counts a request that is being answered.
    pub(crate) fn request(&self) -> Going<'_> {
        self.inflight.fetch_add(1, Ordering::Relaxed);
        Going(&self.inflight)
    }

    /// Counts a watch that starts; [`Metrics::watch_ended`] is its other half.
    pub(crate) fn watch_started(&self) {
        self.watches.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a watch that ended.
    pub(crate) fn watch_ended(&self) {
        self.watches.fetch_sub(1, Ordering::Relaxed);
    }

    /// Prints all counters.
    pub(crate) fn print(&self, revision: u64) -> String {
        let mut out = String::new();
        let mut line = |text: std::fmt::Arguments<'_>| writeln!(out, "{text}").expect("a string takes everything");
        line(format_args!("# HELP apiserver_request_total Requests answered."));
        line(format_args!("# TYPE apiserver_request_total counter"));
        for ((verb, resource, code), count) in self.requests.lock().expect("no holder of this lock panics").iter() {
            line(format_args!(
                "apiserver_request_total{{verb=\"{}\",resource=\"{}\",code=\"{code}\"}} {count}",
                escape(verb),
                escape(resource)
            ));
        }
        for (name, help, value) in [
            ("apiserver_current_inflight_requests", "Requests being answered.", self.inflight.load(Ordering::Relaxed)),
            ("apiserver_longrunning_requests", "Watches being served.", self.watches.load(Ordering::Relaxed)),
            (
                "apiserver_store_revision",
                "The revision of the committed state.",
                i64::try_from(revision).unwrap_or(i64::MAX),
            ),
        ] {
            line(format_args!("# HELP {name} {help}"));
            line(format_args!("# TYPE {name} gauge"));
            line(format_args!("{name} {value}"));
        }
        out
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
