//! The download cache, in Lima's layout, so that both tools share it.
//!
//! `ROOT/by-url-sha256/SHA256-OF-URL/` has `url`, `data`, `time` (Last-Modified), `type`
//! (Content-Type) and `ALGORITHM.digest`. An exclusive `flock` on that directory is held while an
//! entry is looked at or made, so that two fetches of one URL do the work once.
//!
//! # Guarantees
//!
//! - `data` is complete: it gets its name when all of it is on the disk.
//! - A file with a digest is hashed before it is used, once per process and version of the file; what
//!   does not match is downloaded anew once.
//! - What was fetched before stays until its successor is complete.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::SystemTime;

use rdd_host::files;
use rdd_machine::config::FileSource;
use sha2::{Digest as _, Sha256};

use crate::blocking;
use crate::digest::Digest;
use crate::download::{self, Download, DownloadError, Downloaded, Partial, Policy};
use crate::place::{self, PlaceError};
use crate::progress::{Progress, Reporter, Stage};

/// Why a file could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The template's digest is not well-formed.
    #[error("invalid digest {digest:?} of {location}")]
    InvalidDigest {
        /// The file.
        location: String,
        /// The digest.
        digest: String,
    },
    /// The file is another one than the template means.
    #[error("digest mismatch of {location}: expected {expected}, got {got}")]
    Mismatch {
        /// The file.
        location: String,
        /// What the template says.
        expected: Digest,
        /// What the file has.
        got: Digest,
    },
    /// The location is neither a path nor a URL that we know.
    #[error("cannot fetch {location}: only http, https, file and absolute paths are known")]
    UnknownScheme {
        /// The location.
        location: String,
    },
    /// The file could not be downloaded.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// The file could not be read or written.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// TLS could not be set up.
    #[error("cannot set up HTTPS")]
    Tls(#[source] reqwest::Error),
}

/// A download cache.
#[derive(Debug)]
pub struct Cache {
    root: PathBuf,
    policy: Policy,
    /// Made when it is first needed, since it reads the system's certificates.
    client: OnceLock<reqwest::Client>,
    /// What was hashed by this process: path to length, time and digest.
    verified: Mutex<HashMap<PathBuf, (u64, SystemTime, String)>>,
}

/// Where a file comes from.
enum Origin {
    Path(PathBuf),
    Url,
}

struct Entry {
    directory: PathBuf,
}

impl Entry {
    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn partial(&self) -> Partial {
        Partial { data: self.file("data.partial"), validator: self.file("data.partial.validator") }
    }
}

impl Cache {
    /// Returns a cache below `root`, which is `<the user's cache directory>/lima/download`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            policy: Policy::default(),
            client: OnceLock::new(),
            verified: Mutex::new(HashMap::new()),
        }
    }

    /// Returns the cache with another patience.
    pub fn with_policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// Returns where the cache has, or would have, the file of a URL.
    pub fn data_path(&self, url: &str) -> PathBuf {
        self.entry(url).file("data")
    }

    /// Puts a copy of a file at `dest`, decompressed if `decompress` says so and it is compressed.
    ///
    /// A `dest` that exists is complete and is left as it is. A URL goes through the cache; a path
    /// does not. The digest is that of the file as it is offered, before decompression.
    ///
    /// # Guarantees
    ///
    /// Dropping the future stops the work; `dest` is then whole or not there, and a download can be
    /// gone on with.
    pub async fn fetch(
        &self,
        source: &FileSource,
        dest: &Path,
        decompress: bool,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<(), FetchError> {
        if dest.exists() {
            return Ok(());
        }
        self.replace(source, dest, decompress, progress).await
    }

    /// Does the same when there is a `dest`, which stays what it was until its successor is complete.
    pub async fn replace(
        &self,
        source: &FileSource,
        dest: &Path,
        decompress: bool,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<(), FetchError> {
        let location = source.location.as_str();
        let reporter = Reporter::new(location, progress);
        let digest = match &source.digest {
            None => None,
            Some(text) => Some(
                Digest::parse(text)
                    .ok_or_else(|| FetchError::InvalidDigest { location: location.to_owned(), digest: text.clone() })?,
            ),
        };
        let path = match origin(location)? {
            Origin::Url => self.cached(location, digest.as_ref(), &reporter).await?,
            Origin::Path(path) => {
                self.check_local(&path, location, digest.as_ref(), &reporter).await?;
                path
            }
        };
        // An open file stays what it is, even if the cache gets a newer one now.
        let file = File::open(&path).map_err(|error| PlaceError::io("open", &path, error))?;
        let total = file.metadata().ok().map(|data| data.len());
        let (name, dest) = (location.to_owned(), dest.to_owned());
        let report = |done| reporter.report(Stage::Unpacking, done, total);
        Ok(blocking::run(report, move |job| place::place(file, &name, &dest, decompress, job)).await?)
    }

    async fn check_local(
        &self,
        path: &Path,
        location: &str,
        digest: Option<&Digest>,
        reporter: &Reporter<'_>,
    ) -> Result<(), FetchError> {
        let Some(expected) = digest else { return Ok(()) };
        match self.digest_of(path, expected, reporter).await? {
            got if got == *expected => Ok(()),
            got => Err(FetchError::Mismatch { location: location.to_owned(), expected: expected.clone(), got }),
        }
    }

    /// Returns the cached file of a URL, after making sure that it is there and what it should be.
    async fn cached(&self, url: &str, digest: Option<&Digest>, reporter: &Reporter<'_>) -> Result<PathBuf, FetchError> {
        let entry = self.entry(url);
        let directory = &entry.directory;
        files::make_private_dir(directory).map_err(|error| PlaceError::io("create", directory, error))?;
        let lock = download::lock_directory(directory, reporter)
            .await
            .map_err(|error| PlaceError::io("lock", directory, error))?;
        let data = entry.file("data");
        if data.exists() && self.is_current(&entry, url, digest, reporter).await? {
            return Ok(data);
        }
        write(&entry.file("url"), url)?;
        let mut may_repeat = true;
        loop {
            let partial = entry.partial();
            let download = Download {
                client: self.client()?,
                policy: &self.policy,
                url,
                partial: &partial,
                digest,
                lock: Arc::clone(&lock),
                reporter,
            };
            let downloaded = download.run().await?;
            match (digest, &downloaded.digest) {
                (Some(expected), Some(got)) if expected != got => {
                    partial.remove();
                    tracing::warn!(url, %expected, %got, resumed = downloaded.resumed, "a download has the wrong digest");
                    if !std::mem::take(&mut may_repeat) {
                        let (location, expected) = (url.to_owned(), expected.clone());
                        return Err(FetchError::Mismatch { location, expected, got: got.clone() });
                    }
                }
                _ => {
                    self.publish(&entry, &partial, &downloaded)?;
                    return Ok(data);
                }
            }
        }
    }

    /// Returns whether what the cache has is what is wanted.
    async fn is_current(
        &self,
        entry: &Entry,
        url: &str,
        digest: Option<&Digest>,
        reporter: &Reporter<'_>,
    ) -> Result<bool, FetchError> {
        let data = entry.file("data");
        if let Some(expected) = digest {
            let got = self.digest_of(&data, expected, reporter).await?;
            if got != *expected {
                tracing::warn!(url, %expected, %got, "the cache has another version, or a damaged one");
            }
            return Ok(got == *expected);
        }
        let ours = std::fs::read_to_string(entry.file("time")).unwrap_or_default();
        let answer = tokio::time::timeout(self.policy.stall, self.client()?.head(url).send()).await;
        match answer {
            Ok(Ok(response)) if response.status().is_success() => {
                let theirs =
                    response.headers().get(reqwest::header::LAST_MODIFIED).and_then(|value| value.to_str().ok());
                Ok(theirs.is_some_and(|theirs| theirs.trim() == ours.trim()))
            }
            // Offline, or the file is gone: what we have is the best there is.
            _ => {
                tracing::warn!(url, "cannot ask whether there is a newer version; using the cached one");
                Ok(true)
            }
        }
    }

    /// Makes a complete download the entry's file.
    fn publish(&self, entry: &Entry, partial: &Partial, downloaded: &Downloaded) -> Result<(), FetchError> {
        // Without `time` an entry counts as stale, so a crash in between only costs a download.
        for name in ["time", "type", "sha256.digest", "sha384.digest", "sha512.digest"] {
            let path = entry.file(name);
            files::remove_file(&path).map_err(|error| PlaceError::io("remove", &path, error))?;
        }
        let data = entry.file("data");
        std::fs::rename(&partial.data, &data).map_err(|error| PlaceError::io("rename", &partial.data, error))?;
        files::sync_directory(&entry.directory).map_err(|error| PlaceError::io("sync", &entry.directory, error))?;
        partial.remove();
        if let Some(digest) = &downloaded.digest {
            write(&entry.file(&format!("{}.digest", digest.algorithm())), &digest.to_string())?;
            if let Ok((length, time)) = stamp(&data) {
                self.verified().insert(data, (length, time, digest.to_string()));
            }
        }
        if let Some(content_type) = &downloaded.content_type {
            write(&entry.file("type"), content_type)?;
        }
        if let Some(last_modified) = &downloaded.last_modified {
            write(&entry.file("time"), last_modified)?;
        }
        Ok(())
    }

    /// Returns a file's digest, from memory if the file did not change since it was computed.
    async fn digest_of(&self, path: &Path, expected: &Digest, reporter: &Reporter<'_>) -> Result<Digest, PlaceError> {
        let error = |error| PlaceError::io("read", path, error);
        let (length, time) = stamp(path).map_err(error)?;
        let known = self.verified().get(path).filter(|known| (known.0, known.1) == (length, time)).cloned();
        let known = known.and_then(|(_, _, text)| Digest::parse(&text));
        if let Some(digest) = known.filter(|digest| digest.algorithm() == expected.algorithm()) {
            return Ok(digest);
        }
        let digest = download::digest_of(path, expected, reporter).await.map_err(error)?;
        self.verified().insert(path.to_owned(), (length, time, digest.to_string()));
        Ok(digest)
    }

    fn verified(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, (u64, SystemTime, String)>> {
        self.verified.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn entry(&self, url: &str) -> Entry {
        let name = hex::encode(Sha256::digest(url));
        Entry { directory: self.root.join("by-url-sha256").join(name) }
    }

    fn client(&self) -> Result<&reqwest::Client, FetchError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // The HTTP client takes TLS from here; if somebody chose one before, theirs stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .connect_timeout(self.policy.connect)
            .user_agent(concat!("rdd/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(FetchError::Tls)?;
        Ok(self.client.get_or_init(|| client))
    }
}

fn origin(location: &str) -> Result<Origin, FetchError> {
    let unknown = || FetchError::UnknownScheme { location: location.to_owned() };
    match location.split_once("://") {
        Some(("http" | "https", _)) => Ok(Origin::Url),
        Some(("file", path)) => {
            // The host of a file URL is empty or this one.
            let path = path.strip_prefix("localhost").unwrap_or(path);
            let path = percent_decoded(path);
            if path.is_absolute() { Ok(Origin::Path(path)) } else { Err(unknown()) }
        }
        Some(_) => Err(unknown()),
        None if Path::new(location).is_absolute() => Ok(Origin::Path(location.into())),
        None => Err(unknown()),
    }
}

fn percent_decoded(path: &str) -> PathBuf {
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.filter(|_| bytes[at] == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).map_or_else(|_| path.into(), Into::into)
}

fn write(path: &Path, text: &str) -> Result<(), PlaceError> {
    files::write_whole(path, text.as_bytes(), 0o644).map_err(|error| PlaceError::io("write", path, error))
}

fn stamp(path: &Path) -> io::Result<(u64, SystemTime)> {
    let data = std::fs::metadata(path)?;
    Ok((data.len(), data.modified()?))
}
