//! Where downloads are kept: in the user's cache directory, shared by all instances and with Lima.

use std::path::{Path, PathBuf};

use rdd_engine::CachedImages;
use rdd_host::environment;
use rdd_host::instance::Os;
use rdd_image::Cache;

/// Returns the images that templates name, through the user's download cache.
pub(crate) fn from_env() -> CachedImages {
    let home = environment::get(environment::HOME).map(PathBuf::from).unwrap_or_default();
    let given = environment::get(environment::XDG_CACHE_HOME).map(PathBuf::from);
    CachedImages(Cache::new(cache_root(&home, Os::current(), given)))
}

/// Returns the directory of the download cache.
fn cache_root(home: &Path, os: Os, given: Option<PathBuf>) -> PathBuf {
    let base = match os {
        // The specification wants an absolute path and says to ignore any other.
        Os::Linux => given.filter(|path| path.is_absolute()).unwrap_or_else(|| home.join(".cache")),
        Os::Mac => home.join("Library").join("Caches"),
        Os::Windows => home.join("AppData").join("Local"),
    };
    base.join("lima").join("download")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_where_lima_has_it() {
        let home = Path::new("/home/u");
        let check = |os, given: Option<&str>, expect| {
            assert_eq!(cache_root(home, os, given.map(PathBuf::from)), Path::new(expect));
        };
        check(Os::Linux, None, "/home/u/.cache/lima/download");
        check(Os::Linux, Some("/c"), "/c/lima/download");
        check(Os::Linux, Some("c"), "/home/u/.cache/lima/download");
        check(Os::Mac, Some("/c"), "/home/u/Library/Caches/lima/download");
    }
}
