//! Where a machine's disks and kernels come from.

use async_trait::async_trait;
use rdd_host::logs::chain;
use rdd_image::{MachineFiles, Progress, Stage};
use rdd_machine::{MachineConfig, size};
use rdd_machine_dir::MachineDir;

/// Why a machine's disks could not be prepared.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PrepareError(pub String);

/// Puts a machine's disks and kernels into its directory.
///
/// # Assumptions
///
/// The machine is off. Called at creation and before each start; what is there already stays, and
/// costs little to look at. The call may be abandoned at any point.
#[async_trait]
pub trait Images: Send + Sync {
    /// Prepares the machine, telling its progress in words.
    async fn prepare(
        &self,
        config: &MachineConfig,
        dir: &MachineDir,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> Result<(), PrepareError>;
}

/// Images from the network or from local files, through the download cache.
#[derive(Debug)]
pub struct CachedImages(pub rdd_image::Cache);

#[async_trait]
impl Images for CachedImages {
    async fn prepare(
        &self,
        config: &MachineConfig,
        dir: &MachineDir,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> Result<(), PrepareError> {
        let files = MachineFiles::in_dir(dir.path());
        let prepared = rdd_image::prepare(config, &files, &self.0, &|p| progress(describe(&p))).await;
        prepared.map(drop).map_err(|error| PrepareError(chain(&error)))
    }
}

/// Says where a file stands, in steps that are worth a word: what it returns changes at most twenty
/// times in each stage.
fn describe(progress: &Progress) -> String {
    let name = progress.location.rsplit(['/', '\\']).next().unwrap_or(&progress.location);
    let stage = match progress.stage {
        Stage::Waiting => return format!("waiting for another download of {name}"),
        Stage::Downloading => "downloading",
        Stage::Verifying => "verifying",
        Stage::Unpacking => "unpacking",
    };
    match progress.total.filter(|total| *total > 0) {
        Some(total) => {
            let percent = u128::from(progress.done.min(total)) * 100 / u128::from(total);
            format!("{stage} {name}: {} % of {}", percent / 5 * 5, size::display(total))
        }
        // Without a total, what is done is told by its order of magnitude.
        None => format!("{stage} {name}: over {}", size::display(progress.done.checked_ilog2().map_or(0, |n| 1 << n))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_in_steps() {
        let at = |done, total| {
            let location = "https://example.com/images/disk.qcow2".to_owned();
            describe(&Progress { location, stage: Stage::Downloading, done, total })
        };
        assert_eq!(at(0, Some(300 << 20)), "downloading disk.qcow2: 0 % of 300MiB");
        assert_eq!(at(38 << 20, Some(300 << 20)), "downloading disk.qcow2: 10 % of 300MiB");
        assert_eq!(at(300 << 20, Some(300 << 20)), "downloading disk.qcow2: 100 % of 300MiB");
        assert_eq!(at(5 << 20, None), "downloading disk.qcow2: over 4MiB");
    }
}
