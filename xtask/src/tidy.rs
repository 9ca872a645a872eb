//! Rooms, arrows and circles: which crate may know which, and which module may import which.
//!
//! The rules are those of ARCHITECTURE.md; a broken one is named with the line that breaks it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::shell;

/// A room, and the rooms that its crates may depend on.
const ARROWS: [(&str, &[&str]); 10] = [
    ("words", &["words"]),
    ("host", &["words", "host"]),
    ("control", &["words", "host", "control"]),
    ("machine", &["words", "host", "machine"]),
    ("drivers", &["words", "host", "machine"]),
    ("controllers", &["words", "control", "controllers"]),
    ("bridge", &["words", "host", "control", "machine", "controllers"]),
    ("shell", &["words", "host", "control", "machine", "drivers", "controllers", "bridge", "shell"]),
    ("proof", &["words", "host", "control", "machine", "drivers", "controllers", "bridge", "shell", "proof"]),
    ("tools", &[]),
];

/// A bought crate, and the only crates of ours that may name it outside tests.
const KEEPERS: [(&str, &[&str]); 5] = [
    ("rusqlite", &["rdd-store"]),
    ("kube", &["rdd-reconcile", "rdd-kubectl"]),
    ("russh", &["rdd-link", "rdd-driver-fake"]),
    ("imago", &["rdd-image"]),
    ("reqwest", &["rdd-image"]),
];

/// Words that name nothing (docs of style, "Names").
const EMPTY_NAMES: [&str; 6] = ["util", "utils", "common", "base", "helpers", "misc"];

struct Package {
    name: String,
    room: String,
    dir: PathBuf,
    dependencies: Vec<String>,
}

/// Checks everything and fails with all that was found.
pub fn run() -> Result<()> {
    let packages = packages()?;
    let mut problems = Vec::new();
    arrows(&packages, &mut problems);
    for package in &packages {
        circles(package, &mut problems)?;
    }
    if !problems.is_empty() {
        bail!("rooms and circles:\n  {}", problems.join("\n  "));
    }
    println!("rooms and circles: {} crates in order", packages.len());
    Ok(())
}

fn packages() -> Result<Vec<Package>> {
    let text = shell::capture(shell::cargo().args(["metadata", "--no-deps", "--format-version", "1", "--offline"]))?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata prints JSON")?;
    let mut packages = Vec::new();
    for package in metadata["packages"].as_array().context("cargo metadata lists packages")? {
        let name = package["name"].as_str().unwrap_or_default().to_owned();
        let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
        let Some(room) = package["metadata"]["rdd"]["room"].as_str() else {
            bail!("{name}: no room\nhint: add `[package.metadata.rdd] room = \"…\"` to its Cargo.toml");
        };
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        let dependencies = dependencies.filter(|d| d["kind"].as_str() != Some("dev"));
        packages.push(Package {
            name,
            room: room.to_owned(),
            dir: manifest.parent().context("a manifest lies in a directory")?.to_owned(),
            dependencies: dependencies.filter_map(|d| d["name"].as_str()).map(str::to_owned).collect(),
        });
    }
    Ok(packages)
}

fn arrows(packages: &[Package], problems: &mut Vec<String>) {
    let rooms: BTreeMap<&str, &str> = packages.iter().map(|p| (p.name.as_str(), p.room.as_str())).collect();
    for package in packages {
        let folder = package.dir.file_name().unwrap_or_default().to_string_lossy();
        if folder != package.name {
            problems.push(format!("{}: its folder is named {folder}", package.name));
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(room, _)| *room == package.room) else {
            problems.push(format!("{}: there is no room {:?}", package.name, package.room));
            continue;
        };
        for dependency in &package.dependencies {
            if let Some(room) = rooms.get(dependency.as_str()).filter(|room| !allowed.contains(room)) {
                problems.push(format!("{} ({}) may not know {dependency} ({room})", package.name, package.room));
            }
            if let Some((_, keepers)) = KEEPERS.iter().find(|(bought, _)| bought == dependency)
                && !keepers.contains(&package.name.as_str())
                && package.room != "proof"
            {
                problems.push(format!("{}: only {} may name {dependency}", package.name, keepers.join(", ")));
            }
        }
    }
}

/// Modules at the top of a crate import each other in one direction only.
fn circles(package: &Package, problems: &mut Vec<String>) -> Result<()> {
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let source = package.dir.join("src");
    for file in rust_files(&source)? {
        let inside = file.strip_prefix(&source).expect("listed below it");
        let first = inside.components().next().expect("a file has a name").as_os_str().to_string_lossy().into_owned();
        let module = first.trim_end_matches(".rs").to_owned();
        if EMPTY_NAMES.contains(&module.as_str()) {
            problems.push(format!("{}: {} says nothing about what is in it", package.name, inside.display()));
        }
        if ["lib", "main", "tests"].contains(&module.as_str()) || inside.ends_with("tests.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let to = arrows.entry(module.clone()).or_default();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            to.extend(crate_paths(line).filter(|name| *name != module).map(str::to_owned));
        }
    }
    for start in arrows.keys() {
        if let Some(path) = way_back(&arrows, start) {
            // Each circle is told once, by its first module.
            if path.iter().min() == Some(start) {
                problems.push(format!("{}: modules in a circle: {} → {start}", package.name, path.join(" → ")));
            }
        }
    }
    Ok(())
}

/// Returns the first names of the `crate::` paths in a line, also inside `crate::{…}`.
fn crate_paths(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("crate::").filter(|(at, _)| !line[..*at].ends_with('$')).flat_map(|(at, found)| {
        let rest = &line[at + found.len()..];
        let group = rest.strip_prefix('{').map(|inside| inside.split('}').next().unwrap_or(inside));
        let parts: Vec<&str> = group.map_or_else(|| vec![rest], |inside| inside.split(',').map(str::trim).collect());
        parts.into_iter().map(|part| {
            let end = part.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(part.len());
            &part[..end]
        })
    })
}

fn way_back(arrows: &BTreeMap<String, BTreeSet<String>>, start: &str) -> Option<Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut paths = vec![vec![start.to_owned()]];
    while let Some(path) = paths.pop() {
        let last = path.last().expect("a path has its start");
        for next in arrows.get(last).into_iter().flatten() {
            if next == start {
                return Some(path);
            }
            if arrows.contains_key(next) && seen.insert(next.clone()) {
                paths.push(path.iter().chain([next]).cloned().collect());
            }
        }
    }
    None
}

fn rust_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_a_line_are_found() {
        let names = |line| crate_paths(line).collect::<Vec<_>>();
        assert_eq!(names("use crate::store::Store;"), ["store"]);
        assert_eq!(names("use crate::{a::B, c};"), ["a", "c"]);
        assert_eq!(names("pub(crate) fn f() {}"), [] as [&str; 0]);
    }

    #[test]
    fn a_circle_is_found_and_a_line_is_none() {
        let set = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>();
        let mut arrows =
            BTreeMap::from([("a".to_owned(), set(&["b"])), ("b".to_owned(), set(&["c"])), ("c".to_owned(), set(&[]))]);
        assert_eq!(way_back(&arrows, "a"), None);
        arrows.insert("c".to_owned(), set(&["a"]));
        assert_eq!(way_back(&arrows, "a").map(|p| p.len()), Some(3));
    }
}
