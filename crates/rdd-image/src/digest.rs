//! Digests: `sha256:0123…`.

use std::fmt;
use std::io::{self, Read};

use sha2::Digest as _;

use crate::blocking::Job;

/// An algorithm and a value, as in a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    algorithm: Algorithm,
    hex: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    const ALL: [(Algorithm, &'static str, usize); 3] =
        [(Algorithm::Sha256, "sha256", 64), (Algorithm::Sha384, "sha384", 96), (Algorithm::Sha512, "sha512", 128)];

    fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha384 => "sha384",
            Algorithm::Sha512 => "sha512",
        }
    }
}

impl Digest {
    /// Reads `algorithm:hex`; `None` if it is not well-formed.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, hex) = text.trim().split_once(':')?;
        let (algorithm, _, length) = Algorithm::ALL.into_iter().find(|(_, known, _)| *known == name)?;
        let is_hex = hex.len() == length && hex.bytes().all(|b| b.is_ascii_hexdigit());
        is_hex.then(|| Self { algorithm, hex: hex.to_ascii_lowercase() })
    }

    /// Returns the algorithm's name, as in `sha256`.
    pub fn algorithm(&self) -> &'static str {
        self.algorithm.name()
    }

    /// Returns an empty hasher of the same algorithm.
    pub(crate) fn hasher(&self) -> Hasher {
        match self.algorithm {
            Algorithm::Sha256 => Hasher::Sha256(sha2::Sha256::new()),
            Algorithm::Sha384 => Hasher::Sha384(sha2::Sha384::new()),
            Algorithm::Sha512 => Hasher::Sha512(sha2::Sha512::new()),
        }
    }

    /// Returns the digest, of the same algorithm, of all that can be read.
    pub(crate) fn of_same_kind(&self, reader: impl Read, job: &Job) -> io::Result<Digest> {
        let mut hasher = self.hasher();
        hasher.update_from(reader, job)?;
        Ok(hasher.finish())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

/// A digest in the making.
#[derive(Clone)]
pub(crate) enum Hasher {
    Sha256(sha2::Sha256),
    Sha384(sha2::Sha384),
    Sha512(sha2::Sha512),
}

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Hasher::Sha256(hasher) => hasher.update(bytes),
            Hasher::Sha384(hasher) => hasher.update(bytes),
            Hasher::Sha512(hasher) => hasher.update(bytes),
        }
    }

    pub(crate) fn update_from(&mut self, mut reader: impl Read, job: &Job) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 20];
        let mut done = 0;
        loop {
            job.check()?;
            let n = reader.read(&mut buffer)?;
            if n == 0 {
                return Ok(());
            }
            self.update(&buffer[..n]);
            done += n as u64;
            job.set_done(done);
        }
    }

    pub(crate) fn finish(self) -> Digest {
        let (algorithm, hex) = match self {
            Hasher::Sha256(hasher) => (Algorithm::Sha256, hex::encode(hasher.finalize())),
            Hasher::Sha384(hasher) => (Algorithm::Sha384, hex::encode(hasher.finalize())),
            Hasher::Sha512(hasher) => (Algorithm::Sha512, hex::encode(hasher.finalize())),
        };
        Digest { algorithm, hex }
    }
}
