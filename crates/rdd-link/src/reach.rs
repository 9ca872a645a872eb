//! Reaching the guest's SSH server for the first time, while the guest still boots.
//!
//! What stands behind the port decides the way (measured with QEMU's user network): the hypervisor
//! accepts our connection long before the guest can. While the guest has no network nothing comes
//! back, and a connection opened then is served late: its SYN is repeated after seconds only. Once
//! the guest has a network but no SSH server, a connection is closed at once. So quiet connections
//! are overlapped by younger ones, and after the first refusal one connection at a time is enough.
//!
//! An SSH server counts a peer that hangs up before it logs in as an offender (OpenSSH's
//! `PerSourcePenalties`) and in the end locks it out. A connection on which the server might be about
//! to speak is therefore kept open with long patience, and the one that spoke first is the one used.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// How patient [`banner`] is.
#[derive(Clone, Debug)]
pub struct Patience {
    /// How long the first quiet connection is alone; each next one 1.25 times longer.
    pub overlap: Duration,
    /// The longest time between two connections.
    pub overlap_limit: Duration,
    /// How many connections are open at most.
    pub outstanding: usize,
    /// The pause after a refused connection.
    pub pause: Duration,
    /// How long a connection may be quiet once the guest has refused one before.
    pub banner: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            overlap: Duration::from_millis(250),
            overlap_limit: Duration::from_secs(2),
            outstanding: 4,
            pause: Duration::from_millis(40),
            banner: Duration::from_secs(30),
        }
    }
}

/// Returns a connection on which the server has begun to speak; nothing of it is read.
///
/// Waits for ever: the caller has the deadline, and dropping the future closes every connection.
pub async fn banner(address: SocketAddr, patience: &Patience) -> TcpStream {
    let overlapped = overlapped(address, patience).await;
    match overlapped {
        Some(stream) => stream,
        None => one_by_one(address, patience).await,
    }
}

enum Attempt {
    Spoke(TcpStream),
    /// Closed by the peer, or refused.
    Closed,
}

async fn attempt(address: SocketAddr) -> Attempt {
    let Ok(stream) = TcpStream::connect(address).await else { return Attempt::Closed };
    let mut byte = [0_u8; 1];
    let mut buffer = tokio::io::ReadBuf::new(&mut byte);
    match poll_fn(|context| stream.poll_peek(context, &mut buffer)).await {
        Ok(1..) => Attempt::Spoke(stream),
        Ok(0) | Err(_) => Attempt::Closed,
    }
}

/// Overlaps quiet connections until one speaks; `None` when the guest refuses one.
async fn overlapped(address: SocketAddr, patience: &Patience) -> Option<TcpStream> {
    let mut attempts = JoinSet::new();
    let mut order = VecDeque::new();
    let mut interval = patience.overlap;
    let mut next = Instant::now();
    loop {
        if Instant::now() >= next {
            if order.len() >= patience.outstanding {
                let oldest: tokio::task::AbortHandle = order.pop_front().expect("it is not empty");
                oldest.abort();
            }
            let started = Instant::now();
            order.push_back(attempts.spawn(async move { (started, attempt(address).await) }));
            next = started + interval;
            interval = (interval * 5 / 4).min(patience.overlap_limit);
        }
        tokio::select! {
            Some(done) = attempts.join_next() => match done {
                Ok((_, Attempt::Spoke(stream))) => return Some(stream),
                Ok((_, Attempt::Closed)) => return None,
                Err(_) => {} // aborted above
            },
            () = tokio::time::sleep_until(next) => {}
        }
    }
}

async fn one_by_one(address: SocketAddr, patience: &Patience) -> TcpStream {
    loop {
        if let Ok(Attempt::Spoke(stream)) = timeout(patience.banner, attempt(address)).await {
            return stream;
        }
        sleep(patience.pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn first_line(stream: TcpStream) -> Vec<u8> {
        let mut stream = stream;
        let mut line = vec![0; 4];
        stream.read_exact(&mut line).await.unwrap();
        line
    }

    /// Serves the n-th connection by `behave(n)`: speak, close, or stay quiet.
    async fn server(behave: fn(usize) -> char) -> (SocketAddr, Arc<AtomicUsize>, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let counter = count.clone();
        let task = tokio::spawn(async move {
            let mut quiet = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let n = counter.fetch_add(1, Ordering::SeqCst);
                match behave(n) {
                    's' => {
                        stream.write_all(b"SSH-").await.unwrap();
                        quiet.push(stream);
                    }
                    'c' => drop(stream),
                    _ => quiet.push(stream),
                }
            }
        });
        (address, count, task)
    }

    fn quick() -> Patience {
        Patience { overlap: Duration::from_millis(20), pause: Duration::from_millis(5), ..Patience::default() }
    }

    #[tokio::test]
    async fn quiet_connections_are_overlapped() {
        let (address, _, task) = server(|n| if n < 6 { 'q' } else { 's' }).await;
        let stream = timeout(Duration::from_secs(5), banner(address, &quick())).await.expect("spoke");
        assert_eq!(first_line(stream).await, b"SSH-");
        task.abort();
    }

    #[tokio::test]
    async fn after_a_refusal_one_connection_at_a_time() {
        let (address, count, task) = server(|n| match n {
            0 => 'q',
            1..5 => 'c',
            _ => 's',
        })
        .await;
        let stream = timeout(Duration::from_secs(5), banner(address, &quick())).await.expect("spoke");
        assert_eq!(first_line(stream).await, b"SSH-");
        assert_eq!(count.load(Ordering::SeqCst), 6);
        task.abort();
    }

    #[tokio::test]
    async fn nobody_listens_yet() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let patience = quick();
        let wait = tokio::spawn(async move { banner(address, &patience).await });
        tokio::time::sleep(Duration::from_millis(20)).await;
        let listener = TcpListener::bind(address).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"SSH-").await.unwrap();
        let got = timeout(Duration::from_secs(5), wait).await.expect("spoke").unwrap();
        assert_eq!(first_line(got).await, b"SSH-");
    }
}
