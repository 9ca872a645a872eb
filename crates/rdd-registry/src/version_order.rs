//! The order of versions inside a group.

use std::cmp::Ordering;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Alpha,
    Beta,
    Stable,
}

fn parse(version: &str) -> Option<(Stage, u64, u64)> {
    let rest = version.strip_prefix('v')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let major = rest[..digits].parse().ok()?;
    let tail = &rest[digits..];
    if tail.is_empty() {
        return Some((Stage::Stable, major, 0));
    }
    let (stage, minor) = if let Some(minor) = tail.strip_prefix("alpha") {
        (Stage::Alpha, minor)
    } else {
        (Stage::Beta, tail.strip_prefix("beta")?)
    };
    Some((stage, major, minor.parse().ok()?))
}

/// Compares two versions so that the preferred sorts first: stable, then beta, then alpha, higher
/// numbers first; other names last, in alphabetical order.
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    match (parse(a), parse(b)) {
        (Some(a), Some(b)) => b.cmp(&a),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_versions_come_first() {
        let mut versions =
            ["v1alpha1", "foo", "v2", "v10beta3", "v1", "v3beta1", "v11alpha2", "bar", "v10", "v12alpha1", "v2beta12"];
        versions.sort_by(|a, b| compare_versions(a, b));
        assert_eq!(
            versions,
            ["v10", "v2", "v1", "v10beta3", "v3beta1", "v2beta12", "v12alpha1", "v11alpha2", "v1alpha1", "bar", "foo"]
        );
    }
}
