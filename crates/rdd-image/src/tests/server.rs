//! An HTTP server on the loopback that does as it is told, and remembers what it was asked.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request: its method and its headers, in lower case.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: String,
    head: String,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// The first byte of the range that is asked for.
    pub(super) fn range(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// What the server answers.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: &'static str,
    pub(super) headers: Vec<String>,
    pub(super) body: Vec<u8>,
    /// Send only so much of the body, then ...
    pub(super) stop_after: Option<usize>,
    /// ... say nothing more instead of closing the connection.
    pub(super) hang: bool,
}

impl Reply {
    pub(super) fn ok(body: &[u8]) -> Self {
        Self { status: "200 OK", headers: Vec::new(), body: body.to_vec(), stop_after: None, hang: false }
    }

    pub(super) fn status(status: &'static str) -> Self {
        Self { status, ..Self::ok(b"") }
    }

    /// Answers a range request if there is one, as a good server does.
    pub(super) fn ranged(request: &Request, body: &[u8], etag: &str) -> Self {
        let reply = match request.range().filter(|_| request.header("if-range").is_none_or(|tag| tag == etag)) {
            Some(start) => Self {
                status: "206 Partial Content",
                headers: vec![format!("content-range: bytes {start}-{}/{}", body.len() - 1, body.len())],
                ..Self::ok(&body[start..])
            },
            None => Self::ok(body),
        };
        reply.with(&format!("etag: {etag}"))
    }

    pub(super) fn with(mut self, header: &str) -> Self {
        self.headers.push(header.to_owned());
        self
    }

    pub(super) fn cut(self, stop_after: usize) -> Self {
        Self { stop_after: Some(stop_after), ..self }
    }

    pub(super) fn hang(self, stop_after: usize) -> Self {
        Self { stop_after: Some(stop_after), hang: true, ..self }
    }
}

pub(super) struct Server {
    pub(super) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Starts a server; `answer` gets each request and its number.
    pub(super) async fn start(answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/image.bin", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&requests), Arc::new(answer));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                connections.spawn(async move {
                    let _ = serve(stream, &log, &*answer).await;
                });
            }
        });
        Self { url, requests, task }
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("not poisoned").clone()
    }

    pub(super) fn count(&self, method: &str) -> usize {
        self.requests().iter().filter(|request| request.method == method).count()
    }
}

async fn serve(
    mut stream: TcpStream,
    log: &Mutex<Vec<Request>>,
    answer: &(impl Fn(&Request, usize) -> Reply + ?Sized),
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let method = head.split(' ').next().unwrap_or_default().to_owned();
    let request = Request { method, head: head.to_lowercase().replace('\r', "") };
    let number = {
        let mut log = log.lock().expect("not poisoned");
        log.push(request.clone());
        log.len() - 1
    };
    let reply = answer(&request, number);
    let mut text =
        format!("HTTP/1.1 {}\r\ncontent-length: {}\r\nconnection: close\r\n", reply.status, reply.body.len());
    for header in &reply.headers {
        text.push_str(&format!("{header}\r\n"));
    }
    stream.write_all(format!("{text}\r\n").as_bytes()).await?;
    if request.method != "HEAD" {
        let end = reply.stop_after.unwrap_or(reply.body.len()).min(reply.body.len());
        stream.write_all(&reply.body[..end]).await?;
    }
    stream.flush().await?;
    if reply.hang {
        std::future::pending::<()>().await;
    }
    stream.shutdown().await
}
