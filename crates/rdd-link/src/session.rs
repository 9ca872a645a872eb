//! One SSH connection to a guest, over which commands run one after the other or side by side.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{self, Handle};
use russh::keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{ChannelMsg, Disconnect};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::keys::KeyPair;

/// More output than this is read and thrown away.
const OUTPUT_LIMIT: usize = 1 << 20;

/// Why a guest could not be reached or asked.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Host keys are not checked, so only loopback will do.
    #[error("{0} is not a loopback address")]
    NotLoopback(SocketAddr),
    /// No TCP connection.
    #[error("cannot connect to {address}")]
    Connect {
        /// The address.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The guest does not let the user in.
    #[error("user {user:?} is refused by the guest's SSH server")]
    Refused {
        /// The login name.
        user: String,
    },
    /// It took too long.
    #[error("{operation} took longer than {} s", limit.as_secs_f32())]
    TimedOut {
        /// What was tried.
        operation: &'static str,
        /// How long it was allowed to take.
        limit: Duration,
    },
    /// The connection broke, or the peer does not speak SSH.
    #[error("SSH connection failed during {operation}: {reason}")]
    Broken {
        /// What was tried.
        operation: &'static str,
        /// The SSH library's words.
        reason: String,
    },
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandEnd {
    /// By itself, with this status.
    Code(u32),
    /// By a signal.
    Signal(String),
    /// The connection ended first.
    Unknown,
}

/// What a command printed and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub end: CommandEnd,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Returns whether the command ended with status 0.
    pub fn success(&self) -> bool {
        self.end == CommandEnd::Code(0)
    }

    /// Returns standard output as text, without surrounding white space.
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim().to_owned()
    }

    /// Returns standard error as text, without surrounding white space.
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim().to_owned()
    }
}

/// A login in a guest. Dropping it closes the connection.
pub struct Session {
    handle: Handle<AnyHostKey>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("closed", &self.is_closed()).finish()
    }
}

/// The address is loopback, and what listens there is the VM that we started: its host key is new at
/// each first boot and proves nothing more (OpenSSH: `NoHostAuthenticationForLocalhost`).
struct AnyHostKey;

impl client::Handler for AnyHostKey {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _key: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

impl Session {
    /// Connects and logs in, within `limit`.
    pub async fn connect(
        address: SocketAddr,
        user: &str,
        keys: &KeyPair,
        limit: Duration,
    ) -> Result<Session, LinkError> {
        let connect = async {
            let stream = TcpStream::connect(address).await.map_err(|source| LinkError::Connect { address, source })?;
            Self::log_in(stream, user, keys).await
        };
        timeout(limit, connect).await.map_err(|_| LinkError::TimedOut { operation: "SSH login", limit })?
    }

    /// Logs in over a connection on which the server has begun to speak, within `limit`.
    pub async fn over(stream: TcpStream, user: &str, keys: &KeyPair, limit: Duration) -> Result<Session, LinkError> {
        let login = Self::log_in(stream, user, keys);
        timeout(limit, login).await.map_err(|_| LinkError::TimedOut { operation: "SSH login", limit })?
    }

    async fn log_in(stream: TcpStream, user: &str, keys: &KeyPair) -> Result<Session, LinkError> {
        if let Ok(address) = stream.peer_addr()
            && !address.ip().is_loopback()
        {
            return Err(LinkError::NotLoopback(address));
        }
        // Small packets in both directions: waiting for more to send is all loss.
        let _ = stream.set_nodelay(true);
        let config = client::Config {
            keepalive_interval: Some(Duration::from_secs(15)),
            keepalive_max: 4,
            inactivity_timeout: None,
            ..client::Config::default()
        };
        let mut handle =
            client::connect_stream(Arc::new(config), stream, AnyHostKey).await.map_err(broken("key exchange"))?;
        let key = PrivateKeyWithHashAlg::new(keys.private(), Some(russh::keys::HashAlg::Sha256));
        let answer = handle.authenticate_publickey(user, key).await.map_err(broken("login"))?;
        if answer.success() { Ok(Session { handle }) } else { Err(LinkError::Refused { user: user.to_owned() }) }
    }

    /// Returns whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Runs a command with `stdin` as its standard input, within `limit`.
    ///
    /// When the time is over the channel is closed; whether the command ends then is up to it.
    pub async fn run(&self, command: &str, stdin: &[u8], limit: Duration) -> Result<Output, LinkError> {
        let run = self.run_unlimited(command, stdin);
        timeout(limit, run).await.map_err(|_| LinkError::TimedOut { operation: "command", limit })?
    }

    async fn run_unlimited(&self, command: &str, stdin: &[u8]) -> Result<Output, LinkError> {
        let mut channel = self.handle.channel_open_session().await.map_err(broken("opening of a channel"))?;
        channel.exec(true, command).await.map_err(broken("start of a command"))?;
        // A command may end without reading its input; how it ended is in what follows.
        if !stdin.is_empty() {
            let _ = channel.data(stdin).await;
        }
        let _ = channel.eof().await;
        let mut output = Output { end: CommandEnd::Unknown, stdout: Vec::new(), stderr: Vec::new() };
        while let Some(message) = channel.wait().await {
            match message {
                ChannelMsg::Data { data } => keep(&mut output.stdout, &data),
                ChannelMsg::ExtendedData { data, ext: 1 } => keep(&mut output.stderr, &data),
                ChannelMsg::ExitStatus { exit_status } => output.end = CommandEnd::Code(exit_status),
                ChannelMsg::ExitSignal { signal_name, .. } => {
                    output.end = CommandEnd::Signal(format!("{signal_name:?}"));
                }
                ChannelMsg::Failure => {
                    return Err(LinkError::Broken {
                        operation: "start of a command",
                        reason: "the guest refused it".into(),
                    });
                }
                ChannelMsg::Close => break,
                _ => {}
            }
        }
        Ok(output)
    }

    /// Says goodbye, so that the server does not have to find out.
    pub async fn close(self) {
        let _ = self.handle.disconnect(Disconnect::ByApplication, "", "").await;
        let _ = timeout(Duration::from_millis(500), self.handle).await;
    }
}

fn keep(buffer: &mut Vec<u8>, data: &[u8]) {
    let room = OUTPUT_LIMIT.saturating_sub(buffer.len());
    buffer.extend_from_slice(&data[..data.len().min(room)]);
}

fn broken(operation: &'static str) -> impl Fn(russh::Error) -> LinkError {
    move |error| LinkError::Broken { operation, reason: error.to_string() }
}
