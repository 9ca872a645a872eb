//! The control plane itself: store, API, controllers, machines, wired together and taken apart.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rdd_apiserver::{ApiServer, ServeError, StartError, UserInfo, VersionInfo};
use rdd_auth::certificates::{self, CertificateError, Serving};
use rdd_auth::tls::{self, TlsError};
use rdd_auth::{SigningKey, SigningKeyError};
use rdd_host::instance::{Instance, Paths};
use rdd_host::{files, net};
use rdd_reconcile::{CancellationToken, Client, ClientError};
use rdd_store::{Location, OpenError, Options, Store};
use tokio::task::{JoinError, JoinSet, spawn_blocking};

use super::ServeOptions;
use super::discovery::{self, Entry};
use super::kubeconfig::{self, Tokens};
use super::machines::{self, Machines, MachinesError};
use crate::board::Board;
use crate::selection::Selection;

/// The first phase, which lasts until the API answers.
pub(crate) const API_SERVER: &str = "API server";
/// The phase after it.
const CONTROLLERS: &str = "controllers to register";

/// The fact that `/readyz` rests on besides the server's own.
const FACT: &str = "controllers";
/// The ClusterRoleBinding of the kubeconfig's second user.
const USER_BINDING: &str = "rdd-user";
/// How long everything but the VMs may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Why there is no control plane, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum PlaneError {
    /// No port could be had.
    #[error("cannot listen on 127.0.0.1")]
    Listen(#[source] io::Error),
    /// A file or directory could not be used.
    #[error("cannot {operation} {path}")]
    File {
        /// What was tried.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The store could not be opened.
    #[error("cannot open the store {path}")]
    Store {
        /// The database.
        path: PathBuf,
        /// The cause.
        #[source]
        source: OpenError,
    },
    /// There is no serving certificate.
    #[error("cannot make or read the certificates in {path}; a new set is made if they are removed")]
    Certificates {
        /// The directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: CertificateError,
    },
    /// There is no key for the tokens of ServiceAccounts.
    #[error("cannot make or read the key for the tokens of ServiceAccounts")]
    SigningKey(#[source] SigningKeyError),
    /// The certificate cannot be served.
    #[error("cannot set up TLS")]
    Tls(#[source] TlsError),
    /// The machine room could not be opened.
    #[error(transparent)]
    Machines(#[from] MachinesError),
    /// The API server could not be built.
    #[error("cannot start the API server")]
    Start(#[source] StartError),
    /// The service could not make itself known.
    #[error("cannot register in the API")]
    Register(#[source] ClientError),
    /// The API server ended by itself.
    #[error("the API server ended")]
    Serve(#[source] ServeError),
    /// A part of the service failed badly: our bug.
    #[error("{part} ended unexpectedly")]
    Part {
        /// The part.
        part: &'static str,
        /// How, if it panicked.
        #[source]
        source: Option<JoinError>,
    },
}

/// A control plane that runs.
pub(crate) struct Plane {
    api: ApiServer,
    /// Says what the service says of itself.
    own_client: Client,
    /// Does the work of the controllers.
    client: Client,
    machines: Option<Machines>,
    /// What clients are to trust, as PEM.
    root_ca: Arc<str>,
    listening: JoinSet<Result<(), ServeError>>,
    stop_listening: CancellationToken,
    controllers: JoinSet<()>,
    stop_controllers: CancellationToken,
}

impl Plane {
    /// Starts everything but the controllers. Nothing runs yet that outlives us, so this may be given up at any time.
    pub(crate) async fn start(
        instance: &Instance,
        options: &ServeOptions,
        port: u16,
        board: &Board,
    ) -> Result<Plane, PlaneError> {
        let paths = instance.paths();
        let selection = Selection::parse(&options.controllers);
        for part in &selection.unknown {
            tracing::warn!("--controllers names {part:?}, which is no controller");
        }

        // The port is bound now and kept: what the kubeconfig will say cannot be taken by others.
        let listener = net::bind_loopback(port).map_err(PlaneError::Listen)?;
        let bound = listener.local_addr().map_err(PlaneError::Listen)?.port();
        if bound != port {
            tracing::warn!("port {port} is taken, using {bound}");
        }
        // Both wait for the disk.
        let (keys, store) = tokio::join!(keys(paths), open_store(paths));
        let ((serving, service_account_key), store) = (keys?, store?);
        let tokens = Tokens::make();
        let mut builder = ApiServer::builder()
            .store(store)
            .service_account_key(service_account_key)
            .token(&tokens.admin, UserInfo::system_masters(kubeconfig::ADMIN))
            .token(&tokens.user, UserInfo { name: kubeconfig::USER.to_owned(), ..UserInfo::default() })
            // In no group, and yet allowed everything until the owner of the instance says otherwise.
            .grant(USER_BINDING, "cluster-admin", kubeconfig::USER)
            .version(VersionInfo::new(&options.git_version))
            .ready_when(FACT);
        let mut machines = None;
        if selection.includes(machines::CONTROLLER) {
            let room = Machines::open(paths, &options.machines)?;
            builder = room.extend(builder);
            machines = Some(room);
        }
        let api = builder.start().await.map_err(PlaneError::Start)?;

        let stop_listening = CancellationToken::new();
        let mut listening = JoinSet::new();
        let tls = tls::server_config(&serving).map_err(PlaneError::Tls)?;
        let (server, stop) = (api.clone(), stop_listening.clone());
        listening.spawn(async move { server.serve_tls_std(listener, tls, stop).await });

        // From here on whoever has the file can connect, so it is not written earlier.
        let text = kubeconfig::render(bound, &serving.pem, &tokens);
        write(&paths.config, text.as_bytes())?;
        tracing::info!("the API listens on https://127.0.0.1:{bound}");

        board.phase(CONTROLLERS);
        let client = |user| Client::new(api.service(UserInfo::system_masters(user)), "default");
        let (own_client, client) = (client(UserInfo::API_SERVER), client("system:rdd"));
        let entry = Entry::new(bound, &selection.names);
        discovery::register(&own_client, &entry).await.map_err(PlaneError::Register)?;

        Ok(Plane {
            api,
            own_client,
            client,
            machines,
            root_ca: serving.pem.into(),
            listening,
            stop_listening,
            controllers: JoinSet::new(),
            stop_controllers: CancellationToken::new(),
        })
    }

    /// Starts the controllers; when it returns, all is there that a client could look for.
    ///
    /// From its call on there may be machines that only [`Plane::stop`] stops.
    pub(crate) async fn run_controllers(&mut self) -> Result<(), PlaneError> {
        let (verbs, stop) = (self.api.verbs().clone(), self.stop_controllers.clone());
        // Nobody waits for what it makes: it runs beside readiness.
        self.controllers.spawn(rdd_controllers_core::run(verbs, self.root_ca.clone(), stop.cancelled_owned()));
        if let Some(room) = &self.machines {
            self.controllers.spawn(room.controller(self.client.clone()).run(self.stop_controllers.clone()));
        }
        self.api.readiness().set(FACT, true);
        discovery::set_ready(&self.own_client, true).await.map_err(PlaneError::Register)
    }

    /// Returns when a part ends that should not.
    pub(crate) async fn broken(&mut self) -> PlaneError {
        tokio::select! {
            Some(ended) = self.listening.join_next() => match ended {
                Ok(Err(error)) => PlaneError::Serve(error),
                Ok(Ok(())) => PlaneError::Part { part: "the API server", source: None },
                Err(source) => PlaneError::Part { part: "the API server", source: Some(source) },
            },
            Some(ended) = self.controllers.join_next() => {
                PlaneError::Part { part: "a controller", source: ended.err() }
            }
        }
    }

    /// Takes everything apart, in the order in which nobody misses what is gone.
    pub(crate) async fn stop(mut self) {
        self.api.readiness().set(FACT, false);
        if let Err(error) = within(discovery::set_ready(&self.own_client, false)).await.unwrap_or(Ok(())) {
            tracing::warn!("cannot withdraw readiness: {error}");
        }
        // While guests power off, the API answers and the controllers tell how far they are.
        if let Some(machines) = &self.machines {
            machines.stop_all(&self.client).await;
        }
        self.stop_controllers.cancel();
        join_all("controllers", &mut self.controllers).await;
        self.stop_listening.cancel();
        join_all("connections", &mut self.listening).await;
        if within(self.api.shutdown()).await.is_none() {
            tracing::warn!("the store did not close in time; what was acknowledged is on disk all the same");
        }
    }
}

/// Returns the serving certificate, and the key that signs the tokens of ServiceAccounts.
async fn keys(paths: &Paths) -> Result<(Serving, SigningKey), PlaneError> {
    let path = paths.tls_dir.clone();
    let made = spawn_blocking(move || {
        let serving = certificates::load_or_make(&path, SystemTime::now())
            .map_err(|source| PlaneError::Certificates { path: path.clone(), source })?;
        Ok((serving, SigningKey::load_or_make(&path.join("sa.key")).map_err(PlaneError::SigningKey)?))
    });
    made.await.map_err(|source| PlaneError::Part { part: "the making of keys", source: Some(source) })?
}

async fn open_store(paths: &Paths) -> Result<Store, PlaneError> {
    let path = paths.db();
    let opened = spawn_blocking(move || {
        if let Some(directory) = path.parent() {
            let failed = |source| PlaneError::File { operation: "make", path: directory.to_owned(), source };
            files::make_private_dir(directory).map_err(failed)?;
        }
        Store::open(Location::File(path.clone()), Options::default())
            .map_err(|source| PlaneError::Store { path, source })
    });
    opened.await.map_err(|source| PlaneError::Part { part: "the opening of the store", source: Some(source) })?
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), PlaneError> {
    files::write_whole(path, bytes, 0o600).map_err(|source| PlaneError::File {
        operation: "write",
        path: path.to_owned(),
        source,
    })
}

async fn within<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(STOP_LIMIT, work).await.ok()
}

/// Waits until all tasks have ended; those that do not are ended.
async fn join_all<T: 'static>(what: &str, tasks: &mut JoinSet<T>) {
    let all = async { while tasks.join_next().await.is_some() {} };
    if within(all).await.is_none() {
        tracing::warn!("{what} did not end in time");
        tasks.shutdown().await;
    }
}
