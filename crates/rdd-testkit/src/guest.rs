//! The guests that `cargo xtask guest` builds, and templates that boot them.

use std::path::{Path, PathBuf};

/// Returns a guest's directory.
///
/// # Panics
///
/// If the guest is not built.
pub fn guest(name: &str) -> PathBuf {
    let guests = std::env::var_os("RDD_TEST_GUESTS").map(PathBuf::from).unwrap_or_else(|| {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("crates lie in the repository");
        crates.parent().expect("crates lie in the repository").join("target/guest")
    });
    let dir = guests.join(name);
    assert!(dir.join("vmlinux").is_file(), "no guest in {}\nhint: cargo xtask guest {name}", dir.display());
    dir
}

/// Returns a template that boots a guest, with more lines at its end.
pub fn lima_yaml(name: &str, more: &str) -> String {
    let dir = guest(name);
    let dir = dir.display();
    let (disk, cmdline, sizes) = match name {
        "micro" => ("disk.raw", "console=ttyS0 quiet cryptomgr.notests", "cpus: 1\nmemory: 256MiB\ndisk: 256MiB"),
        _ => (
            "disk.qcow2",
            "root=LABEL=cloudimg-rootfs rw console=ttyS0 quiet cryptomgr.notests",
            "cpus: 2\nmemory: 1GiB\ndisk: 4GiB",
        ),
    };
    format!(
        "vmType: qemu\nimages:\n- location: {dir}/{disk}\n  kernel:\n    location: {dir}/vmlinux\n    \
         cmdline: {cmdline}\n  initrd:\n    location: {dir}/initrd.cpio\n{sizes}\nmounts: []\n\
         containerd:\n  system: false\n  user: false\n{more}"
    )
}
