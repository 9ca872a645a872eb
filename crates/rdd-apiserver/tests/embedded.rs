//! The example of the README does what the README says.

use std::process::Command;

#[test]
fn the_example_prints_what_the_readme_shows() {
    // Cargo builds examples with the tests, beside the directory of test programs.
    let own = std::env::current_exe().expect("a path");
    let programs = own.parent().and_then(|deps| deps.parent()).expect("a target directory");
    let output = Command::new(programs.join("examples/embedded")).output().expect("the example runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).expect("text");
    let readme = include_str!("../README.md");
    let shown = readme.split("```console\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a transcript");
    assert_eq!(printed, shown);
    let source = include_str!("../examples/embedded.rs");
    assert!(source.lines().count() < 60, "short enough to be read at once");
}
