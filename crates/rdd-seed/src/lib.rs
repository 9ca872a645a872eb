//! The seed: the small read-only disk from which a guest learns who it is (cloud-init's NoCloud), and
//! the scripts that make it ready.
//!
//! [`build`] makes the files, [`iso9660`] puts them into an image with the label `cidata`. The
//! hostagent does both at every start. This crate is pure: it knows no file of the host and no time.
//!
//! # The contract with the guest
//!
//! 1. cloud-init (or what stands in for it) makes the user, the network and the file
//!    `/var/lib/cloud/scripts/per-boot/00-lima.boot.sh`, once per instance id. The id stays the same
//!    for as long as what cloud-init has to do stays the same, so that later boots do not repeat it.
//! 2. At every boot that file mounts the seed and runs its `boot.sh` as root.
//! 3. `boot.sh` reads `lima.env`, in which `LIMA_CIDATA_IID` is the token of this boot, runs
//!    `boot.Linux/*.sh` and the provisioning, and leaves three marks:
//!    `/run/lima-ssh-ready` has the token when logins are set up;
//!    `/run/lima-boot-failures` has a line `EXIT-CODE SCRIPT` for each script that failed;
//!    `/run/lima-boot-done` has the token when everything has run, failures or not.

mod environment;
mod iso;
mod seed;
mod user_data;
mod variables;

pub use iso::iso9660;
pub use seed::{Seed, SeedFile, SeedInputs, build};
pub use user_data::cloud_config;

/// The guest's file with the token of the boot in which logins became possible.
pub const SSH_READY_MARK: &str = "/run/lima-ssh-ready";
/// The guest's file with the token of the boot whose scripts have all run.
pub const BOOT_DONE_MARK: &str = "/run/lima-boot-done";
/// The guest's file with the scripts that failed in this boot: `EXIT-CODE SCRIPT` per line.
pub const BOOT_FAILURES_FILE: &str = "/run/lima-boot-failures";

#[cfg(test)]
mod tests;
