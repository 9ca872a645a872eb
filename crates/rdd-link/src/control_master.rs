//! Ends the shared connection that a person's OpenSSH left behind (`ControlPersist`).
//!
//! Such a master outlives everything, and its stale socket makes the next `ssh` fail. This is
//! `ssh -O exit` without starting `ssh`: two packets of OpenSSH's multiplexing protocol (its
//! `PROTOCOL.mux`).

use std::path::Path;
use std::time::Duration;

/// Asks the master behind `socket` to end and removes the socket. Quick; a socket that nobody serves
/// is removed as well; what is no socket is left alone.
#[cfg(unix)]
pub async fn end(socket: &Path) {
    use std::os::unix::fs::FileTypeExt;
    match std::fs::symlink_metadata(socket) {
        Ok(metadata) if metadata.file_type().is_socket() => {}
        _ => return,
    }
    if let Ok(Err(error)) = tokio::time::timeout(Duration::from_secs(1), terminate(socket)).await {
        tracing::debug!(%error, socket = %socket.display(), "the SSH control master did not answer");
    }
    let _ = std::fs::remove_file(socket);
}

#[cfg(unix)]
async fn terminate(socket: &Path) -> std::io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    const HELLO: u32 = 1;
    const VERSION: u32 = 4;
    const TERMINATE: u32 = 0x1000_0005;
    let mut stream = tokio::net::UnixStream::connect(socket).await?;
    for words in [[HELLO, VERSION], [TERMINATE, 1]] {
        stream.write_u32(8).await?;
        for word in words {
            stream.write_u32(word).await?;
        }
    }
    // It says hello, agrees, and ends; its end is what we wait for.
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.map(|_| ())
}

/// Windows' OpenSSH has no control master.
#[cfg(not(unix))]
pub async fn end(_socket: &Path) {
    let _ = Duration::ZERO;
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn asks_the_master_to_end() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("ssh.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let master = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut packets = vec![0; 24];
            stream.read_exact(&mut packets).await.unwrap();
            packets
        });
        end(&path).await;
        let expect: Vec<u8> = [8_u32, 1, 4, 8, 0x1000_0005, 1].into_iter().flat_map(u32::to_be_bytes).collect();
        assert_eq!(master.await.unwrap(), expect);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn removes_a_dead_socket_and_spares_a_file() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("ssh.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        end(&path).await;
        assert!(!path.exists());
        end(&path).await;
        std::fs::write(&path, "a file").unwrap();
        end(&path).await;
        assert!(path.exists());
    }
}
