//! Reading a log as it grows, across rotations, woken by the kernel (inotify).

use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;

use crate::{descriptor, files};

/// The most that one call of [`Follower::next`] returns.
const CHUNK: usize = 64 * 1024;

/// A reader that never ends: at the end of the log it waits for more, or for the log's successor.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    file: Option<File>,
    changes: AsyncFd<OwnedFd>,
}

impl Follower {
    /// Follows the log at `path`, from its beginning. It need not exist yet; its directory is made.
    pub fn open(path: &Path) -> io::Result<Follower> {
        let directory =
            path.parent().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a log is in a directory"))?;
        files::make_private_dir(directory)?;
        let changes = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let interest = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::MOVED_FROM;
        // The watch stands before the first read, so nothing that comes after that read is missed.
        inotify::add_watch(&changes, directory, interest)?;
        Ok(Follower { path: path.to_owned(), file: None, changes: descriptor::watch(changes)? })
    }

    /// Returns what was read so far and is new, without waiting; empty at the end.
    pub fn read_available(&mut self) -> io::Result<Vec<u8>> {
        let bytes = self.read_current()?;
        if !bytes.is_empty() {
            return Ok(bytes);
        }
        let Some(successor) = self.successor()? else { return Ok(Vec::new()) };
        // What was written between our last read and the rotation is still in the old file.
        let rest = self.read_current()?;
        if !rest.is_empty() {
            return Ok(rest);
        }
        self.file = Some(successor);
        self.read_current()
    }

    /// Returns the next bytes, when there are any.
    pub async fn next(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let bytes = self.read_available()?;
            if !bytes.is_empty() {
                return Ok(bytes);
            }
            self.changed().await?;
        }
    }

    fn read_current(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if let Some(file) = &mut self.file {
            let limit = u64::try_from(CHUNK).expect("a small number");
            file.take(limit).read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }

    /// Returns the file that has the log's name now, if that is not the one being read.
    fn successor(&self) -> io::Result<Option<File>> {
        let there = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            there => there?,
        };
        let Some(file) = &self.file else { return Ok(Some(there)) };
        let (ours, theirs) = (file.metadata()?, there.metadata()?);
        let is_same = ours.dev() == theirs.dev() && ours.ino() == theirs.ino();
        Ok((!is_same).then_some(there))
    }

    /// Waits until something has changed in the directory since the last call.
    async fn changed(&self) -> io::Result<()> {
        let mut readable = self.changes.readable().await?;
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(self.changes.get_ref(), &mut buffer);
        loop {
            match events.next() {
                Ok(_) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    readable.clear_ready();
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
