//! A driver without hypervisor: its VM is a process of ours that behaves like one.
//!
//! It is a simulator of equal rank, not a mock: the VM is a process in its own session that holds the
//! driver lock, listens on a control socket, boots for a while, serves SSH on its port, obeys or
//! ignores a power-down, crashes, hangs, and outlives its hostagent. What it does is said in a
//! [`Scenario`]: by `param` entries of the template that begin with `fake`, or by a file `fake.json` in
//! the machine's directory, which wins and is read at each start.
//!
//! ```yaml
//! vmType: fake
//! param: { fakeBoot: 200ms, fakeIgnorePowerDown: "true" }
//! ```
//!
//! The process is this program again: [`FakeDriver::new`] is handed the command, and what that command
//! runs is [`process::main`].

mod control;
mod driver;
mod guest;
pub mod process;
mod scenario;
mod vm;

pub use driver::FakeDriver;
pub use scenario::{Scenario, ScenarioError};
