//! `/healthz`, `/livez`, `/readyz`: named checks, each a fact that its owner asserts.
//!
//! The embedder names the facts that readiness rests on when it builds the server, and asserts
//! them as they become true. The server adds `ping` (it answers), `store` (it can write) and
//! `shutdown` (it is not stopping).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};

/// The facts that readiness rests on. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<String, bool>>>);

impl Readiness {
    /// Names a fact that is not so yet.
    pub fn expect(&self, name: &str) {
        self.facts().entry(name.to_owned()).or_insert(false);
    }

    /// Says whether a fact is so. Naming it first is not needed.
    pub fn set(&self, name: &str, holds: bool) {
        self.facts().insert(name.to_owned(), holds);
    }

    /// Returns whether every fact is so.
    pub fn is_ready(&self) -> bool {
        self.facts().values().all(|holds| *holds)
    }

    fn facts(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, bool>> {
        self.0.lock().expect("no holder of this lock panics")
    }

    pub(crate) fn checks(&self) -> Vec<(String, bool)> {
        self.facts().iter().map(|(name, holds)| (name.clone(), *holds)).collect()
    }
}

/// The answer of a health endpoint: (status code, text).
///
/// `endpoint` is `healthz`, `livez` or `readyz`.
pub(crate) fn answer(endpoint: &str, checks: &[(String, bool)], excluded: &[&str], verbose: bool) -> (u16, String) {
    let mut text = String::new();
    let mut failed = false;
    for (name, holds) in checks {
        let line = if excluded.contains(&name.as_str()) {
            format!("[+]{name} excluded: ok")
        } else if *holds {
            format!("[+]{name} ok")
        } else {
            failed = true;
            format!("[-]{name} failed: reason withheld")
        };
        writeln!(text, "{line}").expect("a string takes everything");
    }
    for name in excluded.iter().filter(|name| !checks.iter().any(|(check, _)| check == *name)) {
        writeln!(text, "warn: some health checks cannot be excluded: no matches for \"{name}\"")
            .expect("a string takes everything");
    }
    if failed {
        text.push_str(&format!("{endpoint} check failed\n"));
        return (500, text);
    }
    if !verbose {
        return (200, "ok".to_owned());
    }
    text.push_str(&format!("{endpoint} check passed\n"));
    (200, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_fails_is_named_unless_excluded() {
        let ready = Readiness::default();
        ready.expect("controllers");
        let (code, text) = answer("readyz", &ready.checks(), &[], false);
        assert_eq!((code, text.as_str()), (500, "[-]controllers failed: reason withheld\nreadyz check failed\n"));
        assert_eq!(answer("readyz", &ready.checks(), &["controllers"], false), (200, "ok".to_owned()));
        ready.set("controllers", true);
        assert!(ready.is_ready());
        let (code, text) = answer("readyz", &ready.checks(), &[], true);
        assert_eq!((code, text.as_str()), (200, "[+]controllers ok\nreadyz check passed\n"));
    }
}
