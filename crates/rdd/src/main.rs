//! `rdd`: the one program. Its command tree for people, and the hidden commands by which it runs
//! itself as service, hostagent or simulated VM.
//!
//! This crate parses arguments, prints, and chooses exit codes; what the commands do lies in the
//! other rooms. Arguments are parsed first ([`cli`]) and resolved second ([`context`]).

mod arguments;
mod cli;
mod commands;
mod context;
mod drivers;
mod duration;
mod failure;
mod images;
mod logging;
mod output;
mod version;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os().collect())
}
