//! The same lives over QEMU, with the micro guest (`cargo xtask guest micro`). Skipped without either, but
//! not under `cargo xtask test`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rdd_host::process::Signal;
use rdd_hostagent::StopRequest;

use crate::harness::Test;
use crate::stand::{Stand, block_on};

pub(crate) const TESTS: &[Test] = &[("a_real_guest_runs_is_found_again_and_stops", a_real_guest)];

/// A guest boots in seconds; a machine that compiles meanwhile needs a multiple.
const PATIENCE: Duration = Duration::from_secs(180);

fn guest() -> Option<PathBuf> {
    let guests = std::env::var_os("RDD_TEST_GUESTS").map(PathBuf::from);
    let guests = guests.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guest"));
    let guest = guests.join("micro");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let qemu = std::env::split_paths(&path).any(|dir| dir.join("qemu-system-x86_64").is_file());
    (qemu && guest.join("vmlinux").is_file()).then_some(guest)
}

fn stand(guest: &Path) -> Stand {
    let mut stand = Stand::of("vmType: qemu\ncpus: 1\nmemory: 256MiB\ndisk: 256MiB\nmounts: []\n", "qmp.sock");
    stand.patience = PATIENCE;
    std::fs::copy(guest.join("disk.raw"), stand.dir.disk()).unwrap();
    std::os::unix::fs::symlink(guest.join("vmlinux"), stand.dir.kernel()).unwrap();
    std::os::unix::fs::symlink(guest.join("initrd.cpio"), stand.dir.initrd()).unwrap();
    std::fs::write(stand.dir.kernel_cmdline(), "console=ttyS0 quiet cryptomgr.notests").unwrap();
    std::fs::write(stand.dir.disk_format(), "raw").unwrap();
    stand
}

fn a_real_guest() {
    let Some(guest) = guest() else {
        // `cargo xtask test` has both; there, a test that does nothing has failed.
        assert!(std::env::var_os("RDD_TEST_REQUIRE").is_none(), "QEMU or the micro guest is missing");
        eprintln!("QEMU or the micro guest is missing: skipped");
        return;
    };
    block_on(async {
        let stand = stand(&guest);
        let first = stand.agent();
        let status = first.runs().await;
        assert!(!status.degraded, "{status:?}");
        let vm = stand.vm().unwrap().pid();
        first.signal(Signal::Kill);
        first.child.wait().await.unwrap();
        assert!(stand.vm_is_alive());

        let second = stand.agent();
        let again = second.runs().await;
        assert_eq!(again, status, "the guest noticed nothing");
        assert_eq!(stand.vm().unwrap().pid(), vm);
        second.client().stop(&StopRequest { grace: Duration::from_secs(60), force: false }).await.unwrap();
        let (code, last) = second.ends().await;
        assert_eq!(code, Some(0));
        // By its button, or over SSH if the button came too soon; not by force.
        let words = last.progress.unwrap_or_default();
        assert!(words.starts_with("the guest powered off"), "{words}");
        stand.check_nothing_is_left();
    });
}
