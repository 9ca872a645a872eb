//! Standard output for events (VM engine specification §3.17): where it is a file, `flush` returns when what
//! was written is on the disk.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

/// A writer whose `flush` also does what makes it keep what it has.
pub(crate) struct Durable<W> {
    writer: W,
    sync: fn(&W) -> io::Result<()>,
}

impl<W: Write> Write for Durable<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()?;
        (self.sync)(&self.writer)
    }
}

/// Returns this process' standard output. Nobody else writes to it.
pub(crate) fn standard_output() -> Box<dyn Write + Send> {
    match io::stdout().as_fd().try_clone_to_owned() {
        Ok(descriptor) => over(descriptor.into()),
        // Better told and lost by a power cut than not told.
        Err(_) => Box::new(io::stdout()),
    }
}

fn over(file: File) -> Box<dyn Write + Send> {
    // Pipes and terminals keep nothing, and refuse to try.
    let is_kept = file.metadata().is_ok_and(|metadata| metadata.is_file());
    if is_kept { Box::new(Durable { writer: file, sync: File::sync_data }) } else { Box::new(file) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Events;
    use std::io::Read;
    use std::sync::{Arc, Mutex};

    /// What was written, and how much of it at each sync.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(Vec<u8>, Vec<usize>)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().0.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn each_line_is_on_the_disk_when_it_is_told() {
        let disk = Disk::default();
        let sync = |disk: &Disk| {
            let mut disk = disk.0.lock().unwrap();
            let length = disk.0.len();
            disk.1.push(length);
            Ok(())
        };
        let events = Events::new(Box::new(Durable { writer: disk.clone(), sync }));
        events.update(|status| status.ssh_local_port = 60022);
        events.update(|status| status.running = true);
        let (bytes, synced) = disk.0.lock().unwrap().clone();
        let ends: Vec<usize> = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1).collect();
        assert_eq!(synced, ends);
        assert_eq!(synced.len(), 2);
    }

    #[test]
    fn files_and_pipes_take_lines() {
        let mut file = tempfile::tempfile().unwrap();
        let mut output = over(file.try_clone().unwrap());
        output.write_all(b"line\n").unwrap();
        output.flush().unwrap();
        let mut text = String::new();
        io::Seek::rewind(&mut file).unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "line\n");

        let (mut reader, writer) = io::pipe().unwrap();
        let mut output = over(std::os::fd::OwnedFd::from(writer).into());
        output.write_all(b"line\n").unwrap();
        output.flush().unwrap();
        drop(output);
        text.clear();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "line\n");
    }
}
