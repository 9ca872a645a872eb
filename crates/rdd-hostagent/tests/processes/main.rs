//! Hostagents as processes, over the simulated VM: what survives whom, and what is left behind.
//!
//! This program is test, hostagent and VM in one: run with a role as its first word it is that.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test with a harness of its own")]

mod harness;
mod lives;
mod real;
mod stand;
mod stops;

use std::ffi::OsString;

fn main() {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let role = words.first().and_then(|word| word.to_str()).unwrap_or_default();
    let status = match role {
        stand::VM_ROLE => rdd_driver_fake::process::main(words[1..].to_vec()),
        stand::HOSTAGENT_ROLE => stand::hostagent(&words[1..]),
        _ => harness::run(&[lives::TESTS, stops::TESTS, real::TESTS].concat()),
    };
    std::process::exit(status);
}
