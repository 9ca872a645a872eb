//! The key that signs the tokens of ServiceAccounts: ECDSA on P-256, as the certificates' keys are.
//!
//! # Guarantees
//!
//! The file is written whole and for the owner only. One that is no key is replaced; the tokens that it signed are then
//! good no more.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use sha2::{Digest, Sha256};

/// A failure to make, read or keep the key.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The key could not be made.
    #[error("make the signing key")]
    Make(#[source] rcgen::Error),
    /// The file could not be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file could not be written.
    #[error("write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// What was just made cannot be used: our mistake.
    #[error("use the new signing key")]
    Unusable,
}

/// The key that signs the tokens of ServiceAccounts.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    id: String,
}

impl SigningKey {
    /// Makes a key that lives as long as the value.
    pub fn make() -> Result<Self, SigningKeyError> {
        Self::of(&make_pair()?).ok_or(SigningKeyError::Unusable)
    }

    /// Returns the key in a file, making the file if there is none or it holds no key. The directory must be there.
    pub fn load_or_make(path: &Path) -> Result<Self, SigningKeyError> {
        let text = match std::fs::read(path) {
            Ok(bytes) => String::from_utf8(bytes).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(SigningKeyError::Read { path: path.to_owned(), source }),
        };
        if let Some(key) = KeyPair::from_pem(&text).ok().as_ref().and_then(Self::of) {
            return Ok(key);
        }
        let pair = make_pair()?;
        rdd_host::files::write_whole(path, pair.serialize_pem().as_bytes(), 0o600)
            .map_err(|source| SigningKeyError::Write { path: path.to_owned(), source })?;
        Self::of(&pair).ok_or(SigningKeyError::Unusable)
    }

    fn of(pair: &KeyPair) -> Option<Self> {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, &pair.serialize_der(), &SystemRandom::new()).ok()?;
        let id = URL_SAFE_NO_PAD.encode(Sha256::digest(pair.public_key().as_ref()));
        Some(Self { pair, id })
    }

    /// Returns what tells the key from others: the `kid` of tokens.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the public key as its two coordinates, base64url: `x` and `y` of a JSON Web Key.
    pub fn coordinates(&self) -> (String, String) {
        // An uncompressed point: 4, then two numbers of 32 bytes.
        let point = self.pair.public_key().as_ref();
        (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..65]))
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        Some(self.pair.sign(&SystemRandom::new(), message).ok()?.as_ref().to_vec())
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key().as_ref());
        key.verify(message, signature).is_ok()
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

fn make_pair() -> Result<KeyPair, SigningKeyError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(SigningKeyError::Make)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_and_a_broken_one_replaced() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("sa.key");
        let first = SigningKey::load_or_make(&path).expect("made");
        let signature = first.sign(b"text").expect("signed");
        let again = SigningKey::load_or_make(&path).expect("read");
        assert!(again.verifies(b"text", &signature) && !again.verifies(b"other", &signature));
        std::fs::write(&path, "half a k").expect("written");
        assert!(!SigningKey::load_or_make(&path).expect("healed").verifies(b"text", &signature));
        assert!(!SigningKey::make().expect("made").verifies(b"text", &signature));
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_for_the_owner_only() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("sa.key");
        SigningKey::load_or_make(&path).expect("made");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    }
}
