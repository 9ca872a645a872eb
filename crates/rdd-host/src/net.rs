//! Listening sockets on loopback.
//!
//! A port is never picked, given back and bound later: who gets a listener keeps it.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// Binds 127.0.0.1 at the preferred port, or at any free port if that one cannot be had.
///
/// The listener is non-blocking, ready for `tokio::net::TcpListener::from_std`.
pub fn bind_loopback(preferred: u16) -> io::Result<TcpListener> {
    let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, preferred)) {
        Err(error) if matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) => {
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        }
        listener => listener?,
    };
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Returns a port that is free at this moment.
///
/// # Caveats
///
/// For programs that must be told a port by number (QEMU's forwards). Somebody else may take it
/// before they do: the caller must be ready to try another.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_gives_another() {
        let first = bind_loopback(0).expect("any port");
        let port = first.local_addr().expect("bound").port();
        let second = bind_loopback(port).expect("another port");
        assert_ne!(second.local_addr().expect("bound").port(), port);
        assert!(second.local_addr().expect("bound").ip().is_loopback());
        drop(first);
        assert_eq!(bind_loopback(port).expect("free again").local_addr().expect("bound").port(), port);
    }
}
