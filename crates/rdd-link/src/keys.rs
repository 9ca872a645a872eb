//! The key pair that opens every guest: `_config/user` and `_config/user.pub`, shared with Lima.
//!
//! # Guarantees
//!
//! - A private key that can be read is never replaced; its public half is derived from it when it is
//!   missing or wrong.
//! - A private key that cannot be read is an error, never overwritten: it may be somebody's only way
//!   into a guest.
//! - Several processes may call [`ensure`] at once; they get the same pair.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey};

use rdd_host::files;
use rdd_host::lock::{FileLock, LockError};

/// The comment that Lima gives its key.
const COMMENT: &str = "lima";
/// Making a pair takes milliseconds; who holds the lock longer is stuck.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// The user's key pair.
#[derive(Clone)]
pub struct KeyPair {
    private_path: PathBuf,
    public_path: PathBuf,
    public_text: String,
    private: Arc<PrivateKey>,
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPair").field("private_path", &self.private_path).finish_non_exhaustive()
    }
}

impl KeyPair {
    /// Returns the private key's file.
    pub fn private_path(&self) -> &Path {
        &self.private_path
    }

    /// Returns the public key's file.
    pub fn public_path(&self) -> &Path {
        &self.public_path
    }

    /// Returns the public key as it stands in `authorized_keys`, without a line end.
    pub fn public_text(&self) -> &str {
        &self.public_text
    }

    pub(crate) fn private(&self) -> Arc<PrivateKey> {
        self.private.clone()
    }
}

/// Why there is no usable key pair.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The private key is there but cannot be used. It is left alone.
    #[error("SSH private key {path} cannot be used: {reason}; move it away to have a new one made")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process holds the lock on the keys for too long.
    #[error("SSH keys are locked by another process ({path})")]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("cannot {operation} {path}")]
    File {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A key could not be made or encoded.
    #[error("cannot make an SSH key: {0}")]
    Make(String),
}

/// Returns the key pair in `config_dir`, making what is missing. Quick, but blocks on the disk.
pub fn ensure(config_dir: &Path) -> Result<KeyPair, KeyError> {
    let private_path = config_dir.join("user");
    let public_path = config_dir.join("user.pub");
    // A complete pair needs no lock, so a read-only home works and starts do not queue up.
    if let Some(private) = read_private(&private_path)? {
        let pair = pair_of(private, private_path.clone(), public_path.clone())?;
        if is_complete(&pair)? {
            return Ok(pair);
        }
    }
    files::make_private_dir(config_dir).map_err(|e| file_error("create", config_dir, e))?;
    let _lock = lock(&config_dir.join(".user.lock"))?;
    let private = match read_private(&private_path)? {
        Some(private) => private,
        None => {
            let private = make_private()?;
            let text = private.to_openssh(LineEnding::LF).map_err(|e| KeyError::Make(e.to_string()))?;
            files::write_whole(&private_path, text.as_bytes(), 0o600)
                .map_err(|e| file_error("write", &private_path, e))?;
            private
        }
    };
    let pair = pair_of(private, private_path, public_path)?;
    if !is_complete(&pair)? {
        tighten(&pair.private_path)?;
        let line = format!("{}\n", pair.public_text);
        files::write_whole(&pair.public_path, line.as_bytes(), 0o644)
            .map_err(|e| file_error("write", &pair.public_path, e))?;
    }
    Ok(pair)
}

fn pair_of(private: PrivateKey, private_path: PathBuf, public_path: PathBuf) -> Result<KeyPair, KeyError> {
    let public_text = private.public_key().to_openssh().map_err(|e| KeyError::Make(e.to_string()))?.trim().to_owned();
    Ok(KeyPair { private_path, public_path, public_text, private: Arc::new(private) })
}

/// Both halves are there, belong together, and the private one is private.
fn is_complete(pair: &KeyPair) -> Result<bool, KeyError> {
    let text = match std::fs::read_to_string(&pair.public_path) {
        Ok(text) => text,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => return Ok(false),
        Err(e) => return Err(file_error("read", &pair.public_path, e)),
    };
    Ok(key_words(&text) == key_words(&pair.public_text) && is_private(&pair.private_path)?)
}

/// The type and the key, without the comment, which is the owner's to choose.
fn key_words(text: &str) -> Vec<&str> {
    text.split_whitespace().take(2).collect()
}

fn make_private() -> Result<PrivateKey, KeyError> {
    let mut key =
        PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).map_err(|e| KeyError::Make(e.to_string()))?;
    key.set_comment(COMMENT);
    Ok(key)
}

/// `None` if there is no key to lose: no file, or an empty one that a crash left behind.
fn read_private(path: &Path) -> Result<Option<PrivateKey>, KeyError> {
    let unusable = |reason: String| KeyError::Unusable { path: path.to_owned(), reason };
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(unusable(e.to_string())),
    };
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let text = String::from_utf8(bytes).map_err(|_| unusable("it is not a text file".into()))?;
    let key = russh::keys::decode_secret_key(&text, None).map_err(|e| match e {
        russh::keys::Error::KeyIsEncrypted => unusable("it is protected by a passphrase".into()),
        other => unusable(other.to_string()),
    })?;
    Ok(Some(key))
}

fn lock(path: &Path) -> Result<FileLock, KeyError> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match FileLock::try_acquire(path) {
            Ok(lock) => return Ok(lock),
            Err(LockError::Held { .. }) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            Err(LockError::Held { .. }) => return Err(KeyError::Locked { path: path.to_owned() }),
            Err(LockError::Io { source, .. }) => return Err(file_error("lock", path, source)),
        }
    }
}

fn file_error(operation: &'static str, path: &Path, source: io::Error) -> KeyError {
    KeyError::File { operation, path: path.to_owned(), source }
}

#[cfg(unix)]
fn is_private(path: &Path) -> Result<bool, KeyError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = std::fs::metadata(path).map_err(|e| file_error("inspect", path, e))?;
    Ok(metadata.permissions().mode() & 0o077 == 0)
}

#[cfg(unix)]
fn tighten(path: &Path) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt;
    let permissions = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, permissions).map_err(|e| file_error("change the mode of", path, e))
}

/// Windows: the file inherits the profile's access list, which names only its owner.
#[cfg(not(unix))]
fn is_private(_path: &Path) -> Result<bool, KeyError> {
    Ok(true)
}

#[cfg(not(unix))]
fn tighten(_path: &Path) -> Result<(), KeyError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    fn mode(path: &Path) -> u32 {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn makes_a_pair_and_keeps_it() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("_config");
        let first = ensure(&dir).unwrap();
        assert!(first.public_text().starts_with("ssh-ed25519 "), "{}", first.public_text());
        assert!(first.public_text().ends_with(" lima"));
        assert!(
            std::fs::read_to_string(first.private_path()).unwrap().starts_with("-----BEGIN OPENSSH PRIVATE KEY-----\n")
        );
        #[cfg(unix)]
        assert_eq!((mode(first.private_path()), mode(first.public_path())), (0o600, 0o644));
        let private = std::fs::read(first.private_path()).unwrap();
        assert_eq!(ensure(&dir).unwrap().public_text(), first.public_text());
        assert_eq!(std::fs::read(first.private_path()).unwrap(), private);
    }

    #[test]
    fn heals_the_public_half_from_the_private_one() {
        let home = tempfile::tempdir().unwrap();
        let pair = ensure(home.path()).unwrap();
        let private = std::fs::read(pair.private_path()).unwrap();
        let other = ensure(&home.path().join("other")).unwrap();
        for damage in [None, Some(""), Some("garbage"), Some(other.public_text())] {
            match damage {
                None => std::fs::remove_file(pair.public_path()).unwrap(),
                Some(text) => std::fs::write(pair.public_path(), text).unwrap(),
            }
            ensure(home.path()).unwrap();
            assert_eq!(std::fs::read_to_string(pair.public_path()).unwrap(), format!("{}\n", pair.public_text()));
            assert_eq!(std::fs::read(pair.private_path()).unwrap(), private, "{damage:?}");
        }
    }

    #[test]
    fn a_lost_or_empty_private_half_gives_a_new_pair() {
        let home = tempfile::tempdir().unwrap();
        let first = ensure(home.path()).unwrap();
        std::fs::remove_file(first.private_path()).unwrap();
        let second = ensure(home.path()).unwrap();
        assert_ne!(first.public_text(), second.public_text());
        std::fs::write(first.private_path(), "").unwrap();
        let third = ensure(home.path()).unwrap();
        assert_eq!(std::fs::read_to_string(third.public_path()).unwrap(), format!("{}\n", third.public_text()));
    }

    #[test]
    fn refuses_to_overwrite_what_it_cannot_read() {
        let home = tempfile::tempdir().unwrap();
        let pair = ensure(home.path()).unwrap();
        for garbage in ["garbage\n".as_bytes(), b"\xff\xfe\x00", b"-----BEGIN OPENSSH PRIVATE KEY-----\nhalf"] {
            std::fs::write(pair.private_path(), garbage).unwrap();
            let error = ensure(home.path()).unwrap_err();
            assert!(matches!(error, KeyError::Unusable { .. }), "{error}");
            assert_eq!(std::fs::read(pair.private_path()).unwrap(), garbage);
        }
    }

    #[cfg(unix)]
    #[test]
    fn closes_a_private_key_that_is_open_to_others() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let pair = ensure(home.path()).unwrap();
        std::fs::set_permissions(pair.private_path(), std::fs::Permissions::from_mode(0o644)).unwrap();
        ensure(home.path()).unwrap();
        assert_eq!(mode(pair.private_path()), 0o600);
    }

    #[test]
    fn many_at_once_get_the_same_pair() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("_config");
        let texts: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| ensure(&dir).unwrap().public_text().to_owned())).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(texts.iter().all(|t| *t == texts[0]), "{texts:?}");
    }
}
