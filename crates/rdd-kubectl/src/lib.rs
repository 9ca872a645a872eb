//! kubectl's habits, natively: the commands behind `rdd ctl`.
//!
//! `rdd` hands over arguments and a kubeconfig and gets an exit code. Everything else is between
//! this crate and an API server, over TLS, as for any client: it knows no instance, no VM and no
//! store. What kubectl prints, this prints, byte for byte where scripts may look; what kubectl can
//! and this cannot yet answers with kubectl's own error and a hint.
//!
//! One command is one file in `commands`. Below the commands: [`Console`] is the only way to print,
//! `session` sends requests, `discovery` knows what the server serves, `manifest` reads files,
//! `selection` turns arguments into objects, `print` turns objects into text.

mod cli;
mod commands;
mod console;
mod context;
mod discovery;
mod duration;
mod failure;
mod flags;
mod manifest;
mod print;
mod selection;
mod session;
mod usage;
mod watch;
mod writing;

pub use cli::{run, run_on};
pub use console::Console;
pub use duration::{DurationError, parse_go_duration};
