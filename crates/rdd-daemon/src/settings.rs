//! The saved flags of an instance: `args.json`, whose existence is the instance's existence.

use std::io;
use std::path::PathBuf;

use rdd_host::files;
use rdd_host::instance::Instance;

/// The API's preferred port of instance 0.
const FIRST_PORT: u16 = 6443;

/// Why the saved flags could not be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{path} is not a JSON array of flags")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// The file holds flags that the service does not take.
    #[error("{path} has arguments that the service refuses: {reason}")]
    Refused {
        /// The file.
        path: PathBuf,
        /// What the service says.
        reason: String,
    },
    /// The file could not be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// Reads the service's arguments as the service would, and says what is wrong with them.
///
/// Our caller knows the service's flags; we save and pass on nothing that it would refuse at every start.
pub type CheckArguments = fn(&[String]) -> Result<(), String>;

/// Returns whether the instance was created. One that cannot be looked at is not taken for one that is not there.
pub fn exists(instance: &Instance) -> Result<bool, SettingsError> {
    let path = &instance.paths().args_file;
    path.try_exists().map_err(|source| SettingsError::Read { path: path.clone(), source })
}

/// Returns the port that the API prefers when none was asked for.
pub(crate) fn preferred_port(instance: &Instance) -> u16 {
    FIRST_PORT + instance.index()
}

/// Returns the flags of an instance that nobody gave any, followed by other arguments.
pub(crate) fn default_args(instance: &Instance, arguments: &[String]) -> Vec<String> {
    let mut args = vec!["--secure-port".to_owned(), preferred_port(instance).to_string()];
    args.extend_from_slice(arguments);
    args
}

/// Reads the saved flags.
fn read(instance: &Instance) -> Result<Vec<String>, SettingsError> {
    let path = &instance.paths().args_file;
    let bytes = std::fs::read(path).map_err(|source| SettingsError::Read { path: path.clone(), source })?;
    serde_json::from_slice(&bytes).map_err(|source| SettingsError::Malformed { path: path.clone(), source })
}

/// Reads the saved flags, which the service must take.
pub(crate) fn read_checked(instance: &Instance, check: CheckArguments) -> Result<Vec<String>, SettingsError> {
    let args = read(instance)?;
    let path = &instance.paths().args_file;
    check(&args).map_err(|reason| SettingsError::Refused { path: path.clone(), reason })?;
    Ok(args)
}

/// Saves flags, and so makes the instance exist.
pub(crate) fn write(instance: &Instance, args: &[String]) -> Result<(), SettingsError> {
    let paths = instance.paths();
    let failed = |source| SettingsError::Write { path: paths.args_file.clone(), source };
    files::make_private_dir(&paths.dir).map_err(failed)?;
    let text = serde_json::to_string_pretty(args).expect("strings have a JSON form");
    files::write_whole(&paths.args_file, text.as_bytes(), 0o600).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdd_host::instance::Os;

    #[test]
    fn settings_are_saved_as_documented() {
        let home = tempfile::tempdir().expect("a directory");
        let instance = Instance::new("7", home.path(), Os::Linux, None).expect("a good name");
        assert!(!exists(&instance).expect("looked"));
        assert!(matches!(read(&instance), Err(SettingsError::Read { .. })));
        let args = default_args(&instance, &["extra".to_owned()]);
        write(&instance, &args).expect("written");
        assert!(exists(&instance).expect("looked"));
        let text = std::fs::read_to_string(&instance.paths().args_file).expect("read");
        assert_eq!(text, "[\n  \"--secure-port\",\n  \"6450\",\n  \"extra\"\n]");
        assert_eq!(read(&instance).expect("read"), args);
        std::fs::write(&instance.paths().args_file, "{}").expect("written");
        assert!(matches!(read(&instance), Err(SettingsError::Malformed { .. })));
    }
}
