//! Which controllers to run: the `--controllers` flag.
//!
//! A comma-separated list of `*`, groups and names; `-` in front excludes, and exclusion wins.

/// A controller that can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its group, as people write it.
    pub(crate) group: &'static str,
}

/// Every controller of this program, but those that always run.
pub(crate) const CANDIDATES: &[Candidate] = &[Candidate { name: "limavm", group: "lima" }];

/// A choice among [`CANDIDATES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    /// The names of the chosen, in the order of [`CANDIDATES`].
    pub(crate) names: Vec<&'static str>,
    /// Parts of the flag that mean nothing.
    pub(crate) unknown: Vec<String>,
}

impl Selection {
    /// Reads the flag's value.
    pub(crate) fn parse(text: &str) -> Selection {
        let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
        let is_named = |part: &str, candidate: &Candidate| part == candidate.name || part == candidate.group;
        let is_chosen = |candidate: &Candidate| {
            let included = parts.iter().any(|part| *part == "*" || is_named(part, candidate));
            let excluded =
                parts.iter().filter_map(|part| part.strip_prefix('-')).any(|part| is_named(part.trim(), candidate));
            included && !excluded
        };
        let is_known = |part: &str| {
            let part = part.strip_prefix('-').unwrap_or(part).trim();
            part == "*" || CANDIDATES.iter().any(|candidate| is_named(part, candidate))
        };
        Selection {
            names: CANDIDATES.iter().filter(|candidate| is_chosen(candidate)).map(|candidate| candidate.name).collect(),
            unknown: parts.iter().filter(|part| !is_known(part)).map(|part| (*part).to_owned()).collect(),
        }
    }

    /// Returns whether a controller was chosen.
    pub(crate) fn includes(&self, name: &str) -> bool {
        self.names.contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, names: &[&str], unknown: &[&str]) {
        let selection = Selection::parse(text);
        assert_eq!(selection.names, names, "{text:?}");
        assert_eq!(selection.unknown, unknown, "{text:?}");
    }

    #[test]
    fn selections() {
        check("*", &["limavm"], &[]);
        check("lima", &["limavm"], &[]);
        check(" limavm , ", &["limavm"], &[]);
        check("", &[], &[]);
        check("*,-lima", &[], &[]);
        check("-limavm,*", &[], &[]);
        check("limvm", &[], &["limvm"]);
        check("*,-ap", &["limavm"], &["-ap"]);
    }
}
