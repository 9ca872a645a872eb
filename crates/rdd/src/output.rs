//! Standard output, for data. A reader that has gone is no failure, but a reason to end.

use std::io::{self, Write};

/// Data that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
pub(crate) struct OutputError(#[source] io::Error);

/// Whether somebody reads what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    Listens,
    HasGone,
}

/// Writes data to standard output.
pub(crate) fn write(bytes: &[u8]) -> Result<(), OutputError> {
    write_on(bytes).map(drop)
}

/// Writes data to standard output, after which more may follow.
pub(crate) fn write_on(bytes: &[u8]) -> Result<Reader, OutputError> {
    write_to(&mut io::stdout().lock(), bytes)
}

/// Writes a text and a line feed to standard output.
pub(crate) fn line(text: &str) -> Result<(), OutputError> {
    write(format!("{text}\n").as_bytes())
}

fn write_to(out: &mut impl Write, bytes: &[u8]) -> Result<Reader, OutputError> {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::Listens),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::HasGone),
        Err(error) => Err(OutputError(error)),
    }
}

/// Waits until nobody can read standard output any more. Where nobody ever goes, as from a file, this is for ever.
#[cfg(unix)]
pub(crate) async fn reader_has_gone() {
    use rustix::event::{PollFd, PollFlags, poll};

    let (tell, told) = tokio::sync::oneshot::channel();
    // A thread, because what standard output is decides whether tokio could watch it. It ends with the process, which
    // does not wait for it.
    let watcher = std::thread::Builder::new().name("stdout".into()).spawn(move || {
        let stdout = io::stdout();
        // Errors and hang-ups are told without being asked for.
        let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
        while let Err(rustix::io::Errno::INTR) = poll(&mut watched, None) {}
        if watched[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) {
            let _ = tell.send(());
        }
    });
    if watcher.is_err() || told.await.is_err() {
        std::future::pending().await
    }
}

/// Nobody tells here; the next write does.
#[cfg(not(unix))]
pub(crate) async fn reader_has_gone() {
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_writes_hears_that_the_reader_has_gone() {
        assert_eq!(write_to(&mut Vec::new(), b"x").expect("written"), Reader::Listens);
        assert_eq!(write_to(&mut Failing(io::ErrorKind::BrokenPipe), b"x").expect("no failure"), Reader::HasGone);
        let full = write_to(&mut Failing(io::ErrorKind::StorageFull), b"x").expect_err("not written");
        assert_eq!(full.to_string(), "cannot write to standard output");
    }
}
