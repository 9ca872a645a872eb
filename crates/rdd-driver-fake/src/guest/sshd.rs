//! The guest's SSH server, and the hypervisor's port in front of it.
//!
//! The port behaves as QEMU's user network does: it accepts at once. A connection made before the
//! guest has a network is quiet, and served late, because its SYN is repeated only after seconds; one
//! made after that and before the SSH server listens is closed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::{Algorithm, PrivateKey, PublicKey};
use russh::server::{self, Auth, ChannelOpenHandle, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, Pty};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep_until;

use super::{Guest, shell};

/// How much later than the guest's SSH server a connection is served that was made too early.
const REPEATED_SYN: Duration = Duration::from_secs(3);

/// Serves the port until the guest is off.
pub(crate) async fn serve(guest: Arc<Guest>, listener: TcpListener, authorized: PathBuf) {
    let key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).expect("ed25519 keys are always made");
    let config = Arc::new(server::Config {
        keys: vec![key],
        auth_rejection_time: Duration::from_millis(20),
        auth_rejection_time_initial: Some(Duration::ZERO),
        nodelay: true,
        ..server::Config::default()
    });
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(connection(guest.clone(), stream, config.clone(), authorized.clone()));
    }
}

async fn connection(guest: Arc<Guest>, stream: TcpStream, config: Arc<server::Config>, authorized: PathBuf) {
    let scenario = guest.scenario();
    let (network, sshd) = (guest.started + scenario.network, guest.started + scenario.boot);
    if scenario.no_ssh {
        std::future::pending::<()>().await;
    }
    let now = tokio::time::Instant::now();
    if now < network {
        sleep_until(sshd + REPEATED_SYN).await;
    } else if now < sshd {
        return;
    }
    let keys = std::fs::read_to_string(&authorized).unwrap_or_default();
    let authorized = keys.lines().filter_map(|line| PublicKey::from_openssh(line).ok()).collect();
    let handler = Login { guest, authorized, channels: HashMap::new() };
    if let Ok(session) = server::run_stream(config, stream, handler).await {
        let _ = session.await;
    }
}

/// One connection.
struct Login {
    guest: Arc<Guest>,
    authorized: Vec<PublicKey>,
    channels: HashMap<ChannelId, Pending>,
}

/// A command that waits for its standard input.
#[derive(Default)]
struct Pending {
    command: Option<String>,
    stdin: Vec<u8>,
}

impl Login {
    /// Runs a command beside the connection, so that others are served meanwhile.
    fn start(&mut self, channel: ChannelId, session: &Session) {
        let Some(Pending { command: Some(command), stdin }) = self.channels.remove(&channel) else { return };
        let (guest, handle) = (self.guest.clone(), session.handle());
        tokio::spawn(async move {
            let result = shell::run(&guest, &command, &String::from_utf8_lossy(&stdin)).await;
            if !result.stdout.is_empty() {
                let _ = handle.data(channel, result.stdout.into_bytes()).await;
            }
            if !result.stderr.is_empty() {
                let _ = handle.extended_data(channel, 1, result.stderr.into_bytes()).await;
            }
            let _ = handle.exit_status_request(channel, result.status).await;
            let _ = handle.eof(channel).await;
            let _ = handle.close(channel).await;
        });
    }
}

impl server::Handler for Login {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, _user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let known = self.authorized.iter().any(|k| k.key_data() == key.public_key.key_data());
        if known && !self.guest.scenario().refuse_login { Ok(Auth::Accept) } else { Ok(Auth::reject()) }
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.channels.insert(channel.id(), Pending::default());
        reply.accept().await;
        Ok(())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _term: &str,
        _columns: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)
    }

    async fn exec_request(&mut self, id: ChannelId, data: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        session.channel_success(id)?;
        let command = String::from_utf8_lossy(data).into_owned();
        let waits = shell::reads_script(&command) || command.trim() == "cat";
        self.channels.entry(id).or_default().command = Some(command);
        if !waits {
            self.start(id, session);
        }
        Ok(())
    }

    async fn shell_request(&mut self, id: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        session.channel_success(id)?;
        self.channels.entry(id).or_default().command = Some("sh".into());
        Ok(())
    }

    async fn data(&mut self, id: ChannelId, data: &[u8], _session: &mut Session) -> Result<(), Self::Error> {
        if let Some(pending) = self.channels.get_mut(&id) {
            pending.stdin.extend_from_slice(data);
        }
        Ok(())
    }

    async fn channel_eof(&mut self, id: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        self.start(id, session);
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _session: &mut Session) -> Result<(), Self::Error> {
        self.channels.remove(&id);
        Ok(())
    }
}
