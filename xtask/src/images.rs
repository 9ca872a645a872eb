//! `cargo xtask images`: pins the public cloud images in `examples/` to their publishers' newest builds, with the
//! digests that the publishers list. It needs the internet, and `curl`.
//!
//! A publisher's address for its newest build changes its content from week to week, so a digest beside it would
//! soon be wrong. Each build has an address of its own as well, which stays; that is what is written.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use regex::Regex;

use crate::{packages, shell};

/// A public image that an example boots. `{build}` stands for the part of an address that names a build.
struct Image {
    /// The file in `examples/`.
    example: &'static str,
    /// The architecture, in Lima's words.
    arch: &'static str,
    /// The page that lists the builds.
    index: &'static str,
    /// Finds the builds in that page, each as its first group.
    build: &'static str,
    /// The image, from the index on.
    image: &'static str,
    /// The list of digests, from the index on.
    sums: &'static str,
    /// How the list was made: `sha256` or `sha512`.
    algorithm: &'static str,
}

const DEBIAN: Image = Image {
    example: "debian.yaml",
    arch: "x86_64",
    index: "https://cloud.debian.org/images/cloud/bookworm/",
    build: r#"href="([0-9]{8}-[0-9]+)/""#,
    image: "{build}/debian-12-genericcloud-amd64-{build}.qcow2",
    sums: "{build}/SHA512SUMS",
    algorithm: "sha512",
};
const UBUNTU: Image = Image {
    example: "ubuntu.yaml",
    arch: "x86_64",
    index: "https://cloud-images.ubuntu.com/releases/24.04/",
    build: r#"href="release-([0-9.]+)/""#,
    image: "release-{build}/ubuntu-24.04-server-cloudimg-amd64.img",
    sums: "release-{build}/SHA256SUMS",
    algorithm: "sha256",
};
const ALPINE: Image = Image {
    example: "alpine.yaml",
    arch: "x86_64",
    index: "https://dl-cdn.alpinelinux.org/alpine/v3.22/releases/cloud/",
    build: r#"href="nocloud_alpine-([0-9.]+-x86_64-uefi-cloudinit-r[0-9]+)\.qcow2""#,
    image: "nocloud_alpine-{build}.qcow2",
    sums: "nocloud_alpine-{build}.qcow2.sha512",
    algorithm: "sha512",
};
const IMAGES: [Image; 6] = [
    ALPINE,
    Image {
        arch: "aarch64",
        build: r#"href="nocloud_alpine-([0-9.]+-aarch64-uefi-cloudinit-r[0-9]+)\.qcow2""#,
        ..ALPINE
    },
    DEBIAN,
    Image { arch: "aarch64", image: "{build}/debian-12-genericcloud-arm64-{build}.qcow2", ..DEBIAN },
    UBUNTU,
    Image { arch: "aarch64", image: "release-{build}/ubuntu-24.04-server-cloudimg-arm64.img", ..UBUNTU },
];

/// Runs `cargo xtask images`.
pub fn run() -> Result<()> {
    packages::ensure(&[packages::CURL])?;
    let examples = shell::root().join("examples");
    for image in &IMAGES {
        let file = examples.join(image.example);
        shell::step(&format!("{} for {}", image.example, image.arch), || pin(&file, image, fetch))?;
    }
    Ok(())
}

fn fetch(url: &str) -> Result<String> {
    shell::capture(Command::new("curl").args([
        "--fail",
        "--silent",
        "--show-error",
        "--location",
        "--max-time",
        "60",
        url,
    ]))
}

/// Writes an image's newest build, and its digest, into its example.
fn pin(file: &Path, image: &Image, fetch: impl Fn(&str) -> Result<String>) -> Result<()> {
    let build = newest(&fetch(image.index)?, image.build).with_context(|| format!("{} lists no build", image.index))?;
    let address = |pattern: &str| format!("{}{}", image.index, pattern.replace("{build}", &build));
    let location = address(image.image);
    let name = location.rsplit('/').next().expect("an address has a last part");
    let sums = address(image.sums);
    let digest = listed(&fetch(&sums)?, name).with_context(|| format!("{sums} lists no digest of {name}"))?;
    let old = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let new = write(&old, image.arch, &location, &format!("{}:{digest}", image.algorithm))
        .with_context(|| format!("{} has no image for {}", file.display(), image.arch))?;
    std::fs::write(file, new).with_context(|| format!("cannot write {}", file.display()))
}

/// Returns the build with the highest numbers.
fn newest(page: &str, pattern: &str) -> Option<String> {
    let numbers = |build: &str| -> Vec<u64> {
        build.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
    };
    let pattern = Regex::new(pattern).expect("the patterns above are good");
    pattern.captures_iter(page).map(|found| found[1].to_owned()).max_by_key(|build| numbers(build))
}

/// Returns the digest of a file in a list as `sha256sum` writes it, or in one that holds a single digest and no name.
fn listed(sums: &str, name: &str) -> Option<String> {
    let is_digest = |word: &str| word.len() >= 64 && word.chars().all(|c| c.is_ascii_hexdigit());
    sums.lines().find_map(|line| {
        let (digest, file) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), name));
        let is_it = file.trim_start().trim_start_matches('*') == name;
        (is_it && is_digest(digest)).then(|| digest.to_lowercase())
    })
}

/// Returns the example with the address and the digest of its image for `arch` replaced; `None` if it has none.
fn write(text: &str, arch: &str, location: &str, digest: &str) -> Option<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let arch_line = format!("arch: {arch}");
    let at = lines.iter().position(|line| line.trim() == arch_line)?;
    let first = at.checked_sub(1)?;
    let indent = lines[first].find("- location:")?;
    lines[first] = format!("{:indent$}- location: {location}", "");
    let digest = format!("{:indent$}  digest: {digest}", "");
    match lines.get_mut(at + 1).filter(|line| line.trim().starts_with("digest:")) {
        Some(line) => *line = digest,
        None => lines.insert(at + 1, digest),
    }
    Some(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "a110000000000000000000000000000000000000000000000000000000000000";
    const NEW: &str = "B220000000000000000000000000000000000000000000000000000000000000";

    #[test]
    fn the_newest_build_is_pinned_and_pinned_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ubuntu.yaml");
        std::fs::copy(shell::root().join("examples/ubuntu.yaml"), &file).unwrap();
        let publisher = |url: &str| {
            let text = match url.strip_prefix(UBUNTU.index).unwrap() {
                "" => {
                    r#"<a href="release/">release/</a> <a href="release-20260401/">x</a> <a href="release-20260401.2/">"#
                }
                "release-20260401.2/SHA256SUMS" => &format!(
                    "{OLD} *ubuntu-24.04-server-cloudimg-arm64.img\n{NEW} *ubuntu-24.04-server-cloudimg-amd64.img\n"
                ),
                other => panic!("{other} was asked for"),
            };
            Ok(text.to_owned())
        };
        pin(&file, &UBUNTU, publisher).unwrap();
        let once = std::fs::read_to_string(&file).unwrap();
        let expect = format!(
            "    - location: {}release-20260401.2/ubuntu-24.04-server-cloudimg-amd64.img\n      arch: x86_64\n      \
             digest: sha256:{}\n    - location: ",
            UBUNTU.index,
            NEW.to_lowercase()
        );
        assert!(once.contains(&expect), "{once}");
        pin(&file, &UBUNTU, publisher).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), once);
    }

    #[test]
    fn every_image_has_its_place_in_an_example() {
        for image in &IMAGES {
            let text = std::fs::read_to_string(shell::root().join("examples").join(image.example)).unwrap();
            assert!(write(&text, image.arch, "x", "y").is_some(), "{} {}", image.example, image.arch);
        }
    }

    #[test]
    fn builds_are_compared_by_number() {
        let page = r#"href="nocloud_alpine-3.22.9-x86_64-uefi-cloudinit-r1.qcow2" href="nocloud_alpine-3.22.10-x86_64-uefi-cloudinit-r0.qcow2""#;
        assert_eq!(newest(page, ALPINE.build).unwrap(), "3.22.10-x86_64-uefi-cloudinit-r0");
        assert_eq!(newest("nothing", ALPINE.build), None);
    }

    #[test]
    fn a_list_of_one_needs_no_name() {
        assert_eq!(listed(&format!("{OLD}\n"), "a.qcow2").unwrap(), OLD);
        assert_eq!(listed(&format!("{OLD}  b.qcow2\n"), "a.qcow2"), None);
        assert_eq!(listed("<html>not found</html>", "a.qcow2"), None);
    }
}
