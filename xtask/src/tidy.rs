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
    ("reqwest", &["rdd-image", "rdd-webhook"]),
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

/// Files of a crate import each other in one direction only. Faces (`lib.rs`, `mod.rs`) stand apart: they hand on what
/// is below them, and what is below may use what they define (docs of style, "Platforms").
fn circles(package: &Package, problems: &mut Vec<String>) -> Result<()> {
    let source = package.dir.join("src");
    let files = rust_files(&source)?;
    let modules: BTreeMap<Vec<String>, &PathBuf> =
        files.iter().map(|file| (module_path(file.strip_prefix(&source).expect("listed below it")), file)).collect();
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (module, file) in &modules {
        let inside = file.strip_prefix(&source).expect("listed below it");
        if module.iter().any(|name| EMPTY_NAMES.contains(&name.as_str())) {
            problems.push(format!("{}: {} says nothing about what is in it", package.name, inside.display()));
        }
        if is_face(inside) || inside.ends_with("tests.rs") || module.first().is_some_and(|name| name == "tests") {
            continue;
        }
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let to = arrows.entry(inside.display().to_string()).or_default();
        for path in paths(&code, module) {
            let target = (1..=path.len()).rev().find_map(|length| modules.get_key_value(&path[..length]));
            if let Some((target, file)) = target
                && target != module
                && !is_face(file)
            {
                to.insert(file.strip_prefix(&source).expect("listed below it").display().to_string());
            }
        }
    }
    for start in arrows.keys() {
        if let Some(path) = way_back(&arrows, start) {
            // Each circle is told once, by its first file.
            if path.iter().min() == Some(start) {
                problems.push(format!("{}: files in a circle: {} → {start}", package.name, path.join(" → ")));
            }
        }
    }
    Ok(())
}

fn is_face(file: &Path) -> bool {
    ["lib.rs", "main.rs", "mod.rs"].iter().any(|face| file.ends_with(face))
}

/// Returns the module that a file below `src` is, by its names from the crate down.
fn module_path(inside: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        inside.with_extension("").components().map(|name| name.as_os_str().to_string_lossy().into_owned()).collect();
    if is_face(inside) {
        names.pop();
    }
    names
}

/// Returns the paths within the crate that a text names, by `crate::…` and `super::…`, each alternative of a `{…}`
/// apart. `module` is the one that the text stands in.
fn paths(code: &str, module: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, root) in code.match_indices("crate::").chain(code.match_indices("super::")) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$' || c == ':') {
            continue;
        }
        let mut rest = &code[at + root.len()..];
        let mut start = if root == "super::" { module[..module.len().saturating_sub(1)].to_vec() } else { Vec::new() };
        while let Some(further) = rest.strip_prefix("super::") {
            start.pop();
            rest = further;
        }
        branch(rest, &start, &mut found);
    }
    found
}

/// Follows one path, and each alternative of its groups; returns what stands behind it.
fn branch<'a>(text: &'a str, start: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let mut path = start.to_vec();
    let mut rest = text.trim_start();
    loop {
        if let Some(mut inside) = rest.strip_prefix('{') {
            loop {
                inside = branch(inside, &path, found).trim_start();
                match inside.strip_prefix(',') {
                    Some(further) if !further.trim_start().starts_with('}') => inside = further,
                    Some(further) => return further.trim_start().strip_prefix('}').unwrap_or_default(),
                    None => return inside.strip_prefix('}').unwrap_or_default(),
                }
            }
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        path.push(rest[..end].to_owned());
        rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(further) => rest = further,
            None => break,
        }
    }
    found.push(path);
    rest.trim_start().strip_prefix("as ").map_or(rest, |alias| {
        let alias = alias.trim_start();
        &alias[alias.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(alias.len())..]
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
    let mut files = shell::files_below(dir)?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_a_text_are_found() {
        let check = |code: &str, expect: &[&str]| {
            let module = ["outer", "inner"].map(str::to_owned);
            let found: Vec<_> = paths(code, &module).iter().map(|path| path.join("::")).collect();
            assert_eq!(found, expect, "{code}");
        };
        check("use crate::store::Store;", &["store::Store"]);
        check("use crate::{a::B, c};", &["a::B", "c"]);
        check("use crate::{a::{self as b, C}, d as e, f,};", &["a::self", "a::C", "d", "f"]);
        check("use super::leaf::L; super::super::top::t()", &["outer::leaf::L", "top::t"]);
        check("pub(crate) fn f() {} $crate::x!() other_crate::y", &[]);
    }

    #[test]
    fn files_are_modules() {
        let check = |file: &str, expect: &[&str]| assert_eq!(module_path(Path::new(file)), expect, "{file}");
        check("lib.rs", &[]);
        check("log/mod.rs", &["log"]);
        check("log/open.rs", &["log", "open"]);
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
