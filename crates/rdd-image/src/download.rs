//! One file over HTTP, into a partial file that a later attempt, or a later process, can go on with.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{self, HeaderMap};
use reqwest::{Client, Response, StatusCode};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::blocking::{self, Job};
use crate::digest::{Digest, Hasher};
use crate::place::PlaceError;
use crate::progress::{Reporter, Stage};

/// An attempt that brought this much counts as progress, and the count of failures begins anew.
const PROGRESS: u64 = 1 << 20;

/// How patient a download is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long a connection may take to be made.
    pub connect: Duration,
    /// How long no byte may come before an attempt is given up.
    pub stall: Duration,
    /// Attempts without progress, one after the other.
    pub attempts: u32,
    /// The pause after the first failure; it doubles with each further one.
    pub pause: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            stall: Duration::from_secs(30),
            attempts: 5,
            pause: Duration::from_millis(500),
        }
    }
}

/// Why a file could not be downloaded.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The server said no.
    #[error("cannot download {url}: the server answered {status}")]
    Status {
        /// The file.
        url: String,
        /// The answer.
        status: StatusCode,
    },
    /// The connection could not be made, or broke, too often.
    #[error("cannot download {url}")]
    Network {
        /// The file.
        url: String,
        /// The last failure.
        #[source]
        source: reqwest::Error,
    },
    /// Nothing came for too long, too often.
    #[error("cannot download {url}: no data for {} s", after.as_secs_f32())]
    Stalled {
        /// The file.
        url: String,
        /// How long we waited.
        after: Duration,
    },
    /// The file could not be written.
    #[error(transparent)]
    Place(#[from] PlaceError),
}

/// What came with the file.
pub(crate) struct Downloaded {
    pub(crate) last_modified: Option<String>,
    pub(crate) content_type: Option<String>,
    /// The digest of the whole file, if one was asked for.
    pub(crate) digest: Option<Digest>,
    /// Whether a part of the file is from an earlier attempt.
    pub(crate) resumed: bool,
}

/// A file that is not complete, and what tells whether the server still has the same one.
pub(crate) struct Partial {
    pub(crate) data: PathBuf,
    pub(crate) validator: PathBuf,
}

impl Partial {
    pub(crate) fn remove(&self) {
        for path in [&self.data, &self.validator] {
            if let Err(error) = rdd_host::files::remove_file(path) {
                tracing::warn!(path = %path.display(), %error, "a partial download could not be removed");
            }
        }
    }
}

enum Failure {
    /// Trying again is of no use.
    Final(DownloadError),
    /// Maybe it works next time; how much came this time.
    Passing(DownloadError, u64),
}

impl From<PlaceError> for Failure {
    fn from(error: PlaceError) -> Self {
        Failure::Final(error.into())
    }
}

pub(crate) struct Download<'a> {
    pub(crate) client: &'a Client,
    pub(crate) policy: &'a Policy,
    pub(crate) url: &'a str,
    pub(crate) partial: &'a Partial,
    pub(crate) digest: Option<&'a Digest>,
    /// Held until the last byte is written, even if nobody waits for it any more.
    pub(crate) lock: Arc<File>,
    pub(crate) reporter: &'a Reporter<'a>,
}

impl Download<'_> {
    /// Downloads the file, going on where an earlier attempt ended.
    pub(crate) async fn run(&self) -> Result<Downloaded, DownloadError> {
        let mut failures = 0;
        loop {
            let (error, progress) = match self.attempt().await {
                Ok(downloaded) => return Ok(downloaded),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(error, progress)) => (error, progress),
            };
            failures = if progress >= PROGRESS { 1 } else { failures + 1 };
            if failures >= self.policy.attempts {
                return Err(error);
            }
            let pause = self.policy.pause * 2u32.saturating_pow(failures - 1).min(60);
            tracing::warn!(
                url = self.url,
                error = &error as &dyn std::error::Error,
                ?pause,
                "download failed, trying again"
            );
            sleep(pause).await;
        }
    }

    async fn attempt(&self) -> Result<Downloaded, Failure> {
        let have = std::fs::metadata(&self.partial.data).map_or(0, |data| data.len());
        let validator = std::fs::read_to_string(&self.partial.validator).ok().filter(|text| !text.is_empty());
        // With a digest to check at the end, a server that names no version may be trusted so far.
        let resume = have > 0 && (validator.is_some() || self.digest.is_some());
        let mut request = self.client.get(self.url);
        if resume {
            request = request.header(header::RANGE, format!("bytes={have}-"));
            if let Some(validator) = validator {
                request = request.header(header::IF_RANGE, validator.trim());
            }
        }
        let response = self.patiently(0, request.send()).await?;
        let status = response.status();
        let start = match status {
            StatusCode::PARTIAL_CONTENT if resume && range_start(response.headers()) == Some(have) => have,
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                self.partial.remove();
                return Err(Failure::Passing(DownloadError::Status { url: self.url.to_owned(), status }, 0));
            }
            _ if status.is_success() => 0,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
                return Err(Failure::Passing(DownloadError::Status { url: self.url.to_owned(), status }, 0));
            }
            _ => {
                let error = DownloadError::Status { url: self.url.to_owned(), status };
                return Err(if status.is_server_error() { Failure::Passing(error, 0) } else { Failure::Final(error) });
            }
        };
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (last_modified, content_type) = (text(header::LAST_MODIFIED), text(header::CONTENT_TYPE));
        if start == 0 {
            self.remember(text(header::ETAG), last_modified.as_deref())?;
        }
        let digest = self.receive(response, start).await?;
        Ok(Downloaded { last_modified, content_type, digest, resumed: start > 0 })
    }

    /// Writes down which version of the file the partial one will be of.
    fn remember(&self, etag: Option<String>, last_modified: Option<&str>) -> Result<(), PlaceError> {
        // The part of another version must not meet the new version's name, whenever we are killed.
        self.partial.remove();
        // Only a strong tag says that the bytes are the same.
        let strong = etag.filter(|tag| tag.starts_with('"'));
        let Some(validator) = strong.as_deref().or(last_modified) else { return Ok(()) };
        rdd_host::files::write_whole(&self.partial.validator, validator.as_bytes(), 0o644)
            .map_err(|error| PlaceError::io("write", &self.partial.validator, error))
    }

    async fn receive(&self, mut response: Response, start: u64) -> Result<Option<Digest>, Failure> {
        let total = response.content_length().map(|rest| start + rest);
        self.reporter.report(Stage::Downloading, start, total);
        let mut writer =
            Writer::start(self.partial.data.clone(), start, self.digest.map(Digest::hasher), self.lock.clone());
        let mut received = 0;
        loop {
            let chunk = match self.patiently(received, response.chunk()).await {
                Ok(Some(chunk)) => chunk,
                end => {
                    // What came so far is kept for the next attempt.
                    let written = writer.finish().await;
                    end?;
                    return Ok(written.map_err(|error| PlaceError::io("write", &self.partial.data, error))?);
                }
            };
            received += chunk.len() as u64;
            if writer.write(chunk).await.is_err() {
                let error = writer.finish().await.err().unwrap_or_else(|| io::Error::other("the writer ended"));
                return Err(PlaceError::io("write", &self.partial.data, error).into());
            }
            self.reporter.report(Stage::Downloading, start + received, total);
        }
    }

    async fn patiently<T>(&self, received: u64, step: impl Future<Output = reqwest::Result<T>>) -> Result<T, Failure> {
        match timeout(self.policy.stall, step).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(source)) if source.is_builder() || source.is_redirect() => {
                Err(Failure::Final(DownloadError::Network { url: self.url.to_owned(), source: source.without_url() }))
            }
            Ok(Err(source)) => {
                let source = source.without_url();
                Err(Failure::Passing(DownloadError::Network { url: self.url.to_owned(), source }, received))
            }
            Err(_) => {
                let after = self.policy.stall;
                Err(Failure::Passing(DownloadError::Stalled { url: self.url.to_owned(), after }, received))
            }
        }
    }
}

fn range_start(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

/// Writes and hashes on a thread of its own, so that neither holds up the network or other tasks.
struct Writer {
    chunks: Option<mpsc::Sender<Chunk>>,
    task: Option<tokio::task::JoinHandle<io::Result<Option<Digest>>>>,
}

/// A piece of a body, in whatever type the HTTP client has for it.
type Chunk = Box<dyn AsRef<[u8]> + Send>;

impl Writer {
    fn start(path: PathBuf, start: u64, hasher: Option<Hasher>, lock: Arc<File>) -> Self {
        let (chunks, received) = mpsc::channel(64);
        let task = tokio::task::spawn_blocking(move || {
            let _held_to_the_end = lock;
            write(&path, start, hasher, received)
        });
        Self { chunks: Some(chunks), task: Some(task) }
    }

    async fn write(&mut self, chunk: impl AsRef<[u8]> + Send + 'static) -> Result<(), ()> {
        let chunks = self.chunks.as_ref().ok_or(())?;
        chunks.send(Box::new(chunk)).await.map_err(drop)
    }

    async fn finish(&mut self) -> io::Result<Option<Digest>> {
        self.chunks = None;
        match self.task.take() {
            Some(task) => task.await.map_err(io::Error::other)?,
            None => Err(io::Error::other("the writer ended")),
        }
    }
}

fn write(
    path: &Path,
    start: u64,
    mut hasher: Option<Hasher>,
    mut received: mpsc::Receiver<Chunk>,
) -> io::Result<Option<Digest>> {
    let mut file = File::options().create(true).truncate(false).read(true).write(true).open(path)?;
    file.set_len(start)?;
    if let Some(hasher) = &mut hasher {
        hasher.update_from(&mut file, &Job::default())?;
    }
    file.seek(SeekFrom::Start(start))?;
    while let Some(chunk) = received.blocking_recv() {
        let chunk = (*chunk).as_ref();
        file.write_all(chunk)?;
        if let Some(hasher) = &mut hasher {
            hasher.update(chunk);
        }
    }
    file.sync_all()?;
    Ok(hasher.map(Hasher::finish))
}

/// Takes a lock that other processes, stock Lima among them, take too: a `flock` on the directory.
pub(crate) async fn lock_directory(path: &Path, reporter: &Reporter<'_>) -> io::Result<Arc<File>> {
    let file = open_lock(path)?;
    let mut pause = Duration::from_millis(5);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Arc::new(file)),
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
            // The kernel tells nobody when a lock is released, and a thread that waits cannot be
            // cancelled.
            Err(std::fs::TryLockError::WouldBlock) => {
                reporter.report(Stage::Waiting, 0, None);
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(250));
            }
        }
    }
}

#[cfg(unix)]
fn open_lock(directory: &Path) -> io::Result<File> {
    File::open(directory)
}

#[cfg(not(unix))]
fn open_lock(directory: &Path) -> io::Result<File> {
    // A directory cannot be opened there; Lima has a file for it, too.
    File::options().create(true).truncate(false).write(true).open(directory.with_extension("lock"))
}

/// Returns the digest of a file, of the kind of `expected`.
pub(crate) async fn digest_of(path: &Path, expected: &Digest, reporter: &Reporter<'_>) -> io::Result<Digest> {
    let total = std::fs::metadata(path)?.len();
    let (path, expected) = (path.to_owned(), expected.clone());
    let report = |done| reporter.report(Stage::Verifying, done, Some(total));
    blocking::run(report, move |job| expected.of_same_kind(File::open(path)?, job)).await
}
