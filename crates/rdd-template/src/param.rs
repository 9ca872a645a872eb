//! Parameters: their names and values, and that each is used somewhere.

use regex::Regex;

use crate::document::Document;
use crate::problem::Problems;

/// Finds parameters that nothing uses; a typing error in a name shows this way.
pub(crate) fn check(document: &Document, problems: &mut Problems) {
    let places = places(document);
    for key in document.param.keys() {
        // The simulated driver is told what to do by parameters of its own.
        if document.vm_type.as_deref() == Some("fake") && key.starts_with("fake") {
            continue;
        }
        // A template action that names the parameter, or its environment variable as a whole word.
        let used = Regex::new(&format!(r"\{{\{{[^}}]*\.Param\.{0}\b[^}}]*\}}\}}|\bPARAM_{0}\b", regex::escape(key)))
            .is_ok_and(|usage| places.iter().any(|place| usage.is_match(place)));
        if !used {
            let field = "param";
            problems.add(field, format!("key {key:?} is not used in any provision, probe, copyToHost, or portForward"));
        }
    }
}

/// Checks names and values.
pub(crate) fn check_values(document: &Document, problems: &mut Problems) {
    for (key, value) in &document.param {
        let good = key.starts_with(|c: char| c.is_ascii_alphabetic())
            && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !good {
            problems.add("param", format!("name {key:?} does not match ^[a-zA-Z][a-zA-Z0-9_]*$"));
        }
        if let Some(bad) = value.chars().find(|c| c.is_control() && *c != '\t') {
            problems.add(format!("param.{key}"), format!("has the unprintable character {bad:?}"));
        }
    }
}

fn places(document: &Document) -> Vec<&str> {
    let mut places: Vec<&Option<String>> = Vec::new();
    for p in &document.provision {
        places.extend([&p.script, &p.content, &p.expression, &p.owner, &p.path, &p.permissions]);
    }
    places.extend(document.probes.iter().map(|probe| &probe.script));
    places.extend(document.copy_to_host.iter().flat_map(|copy| [&copy.guest, &copy.host]));
    places.extend(document.port_forwards.iter().flat_map(|rule| [&rule.guest_socket, &rule.host_socket]));
    places.extend(document.mounts.iter().flat_map(|mount| [&mount.location, &mount.mount_point]));
    places.into_iter().filter_map(Option::as_deref).collect()
}
