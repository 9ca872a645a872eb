//! Compression: which one, and undoing it.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_compression::tokio::bufread::{BzDecoder, GzipDecoder, XzDecoder, ZstdDecoder};
use tokio::io::{AsyncRead, AsyncReadExt, BufReader, ReadBuf};

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

impl Compression {
    /// Returns the compression that a file's name claims.
    pub(crate) fn by_name(location: &str) -> Option<Self> {
        let name = location.split(['?', '#']).next().unwrap_or(location);
        match Path::new(name).extension()?.to_str()? {
            "gz" => Some(Self::Gzip),
            "bz2" => Some(Self::Bzip2),
            "xz" => Some(Self::Xz),
            "zst" | "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Returns the compression that a file's first bytes show.
    pub(crate) fn by_magic(head: &[u8]) -> Option<Self> {
        let magics: [(&[u8], Self); 4] = [
            (&[0x1f, 0x8b], Self::Gzip),
            (b"BZh", Self::Bzip2),
            (&[0xfd, b'7', b'z', b'X', b'Z', 0], Self::Xz),
            (&[0x28, 0xb5, 0x2f, 0xfd], Self::Zstd),
        ];
        magics.into_iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, compression)| compression)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }
}

/// Returns the first bytes of a file, and leaves it at its start.
pub(crate) fn head(file: &mut File) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(8);
    Read::take(&mut *file, 8).read_to_end(&mut head)?;
    file.rewind()?;
    Ok(head)
}

/// Returns a reader of what is compressed. Several streams one after the other count as one.
pub(crate) fn reader(compression: Compression, input: impl Read + Send + Unpin + 'static) -> impl Read {
    let input = BufReader::with_capacity(1 << 20, Immediate(input));
    let decoder: Pin<Box<dyn AsyncRead + Send>> = match compression {
        Compression::Gzip => {
            let mut decoder = GzipDecoder::new(input);
            decoder.multiple_members(true);
            Box::pin(decoder)
        }
        Compression::Bzip2 => {
            let mut decoder = BzDecoder::new(input);
            decoder.multiple_members(true);
            Box::pin(decoder)
        }
        Compression::Xz => {
            let mut decoder = XzDecoder::new(input);
            decoder.multiple_members(true);
            Box::pin(decoder)
        }
        Compression::Zstd => {
            let mut decoder = ZstdDecoder::new(input);
            decoder.multiple_members(true);
            Box::pin(decoder)
        }
    };
    Blocking(decoder)
}

/// A blocking reader in asynchronous clothes: it is always ready, after a while. For threads on which
/// blocking is allowed.
struct Immediate<R>(R);

impl<R: Read + Unpin> AsyncRead for Immediate<R> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let n = loop {
            match self.0.read(buffer.initialize_unfilled()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        buffer.advance(n);
        Poll::Ready(Ok(()))
    }
}

/// The way back: a decoder over [`Immediate`] never has to wait.
struct Blocking(Pin<Box<dyn AsyncRead + Send>>);

impl Read for Blocking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        futures::executor::block_on(self.0.read(buffer))
    }
}
