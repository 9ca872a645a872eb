//! The hypervisors that this program can drive, all in one place.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use rdd_driver_fake::FakeDriver;
use rdd_driver_qemu::{QemuDriver, Settings};
use rdd_machine::Driver;

/// The hidden command by which this program is a simulated VM.
pub(crate) const FAKE_VM: &str = "fake-vm";

/// Returns every driver. `program` is ourselves.
pub(crate) fn all(program: &Path) -> Vec<Arc<dyn Driver>> {
    let fake: Vec<OsString> = vec![program.into(), FAKE_VM.into()];
    vec![Arc::new(QemuDriver::new(Settings::from_env())), Arc::new(FakeDriver::new(fake))]
}
