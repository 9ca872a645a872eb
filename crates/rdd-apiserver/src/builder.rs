//! Builds a server: what the embedder decides, and what must be there before the first request.

use std::sync::Arc;

use rdd_admission::{Chain, Plugin};
use rdd_api::time::{Clock, SystemClock};
use rdd_api::{GroupVersionResource, Reason, Status};
use rdd_auth::{Authenticator, Authorizer, RbacAuthorizer, SigningKey, SigningKeyError, UserInfo};
use rdd_registry::Registry;
use rdd_store::{Location, OpenError, Options, Store};
use rdd_verbs::{Caller, Verbs, WriteOptions};
use rdd_webhook::{NoServices, Resolve, Webhooks};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::documents::Cache;
use crate::health::Readiness;
use crate::in_flight::{InFlight, Limits};
use crate::metrics::Metrics;
use crate::pieces::Printers;
use crate::rbac::{self, Grant, PolicyCache, RbacEscalation};
use crate::server::ApiServer;
use crate::service_account_tokens::{ISSUER, ServiceAccountTokens};
use crate::shared::Shared;
use crate::version::VersionInfo;

/// A server that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store in memory, made because none was given, does not open.
    #[error("open a store in memory")]
    Open(#[source] OpenError),
    /// There is no key to sign the tokens of ServiceAccounts with.
    #[error("make a key for the tokens of ServiceAccounts")]
    Key(#[source] SigningKeyError),
    /// What is stored cannot be served.
    #[error("load what is stored")]
    Load(#[source] Status),
    /// An object that the embedder wants is refused.
    #[error("install {what}")]
    Install {
        /// The object, as in `namespace rdd-system`.
        what: String,
        /// The refusal.
        #[source]
        source: Status,
    },
}

/// Builds an [`ApiServer`]. Everything has a default: a store in memory, nobody known by token, and
/// roles and bindings (RBAC) that say who may do what.
pub struct Builder {
    store: Option<Store>,
    plugins: Vec<Arc<dyn Plugin>>,
    services: Arc<dyn Resolve>,
    authenticator: Authenticator,
    authorizer: Option<Arc<dyn Authorizer>>,
    grants: Vec<Grant>,
    service_account_key: Option<SigningKey>,
    definitions: Vec<Value>,
    namespaces: Vec<String>,
    readiness: Readiness,
    version: VersionInfo,
    limits: Limits,
    clock: Arc<dyn Clock>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            store: None,
            plugins: Vec::new(),
            services: Arc::new(NoServices),
            authenticator: Authenticator::new(),
            authorizer: None,
            grants: Vec::new(),
            service_account_key: None,
            definitions: Vec::new(),
            namespaces: Vec::new(),
            readiness: Readiness::default(),
            version: VersionInfo::default(),
            limits: Limits::default(),
            clock: Arc::new(SystemClock),
        }
    }
}

impl ApiServer {
    /// Begins to build a server.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Builder {
    /// Serves this store. [`ApiServer::shutdown`] closes it.
    #[must_use]
    pub fn store(mut self, store: Store) -> Self {
        self.store = Some(store);
        self
    }

    /// Adds an admission plugin. Plugins run in the order in which they are added, after the
    /// server's own and before admission webhooks.
    #[must_use]
    pub fn plugin(mut self, plugin: Arc<dyn Plugin>) -> Self {
        self.plugins.push(plugin);
        self
    }

    /// Says where the services of admission webhooks are. Without it only webhooks with a URL can be called.
    #[must_use]
    pub fn services(mut self, resolver: impl Resolve + 'static) -> Self {
        self.services = Arc::new(resolver);
        self
    }

    /// Lets whoever shows this bearer token in as a user.
    #[must_use]
    pub fn token(mut self, token: &str, user: UserInfo) -> Self {
        self.authenticator = self.authenticator.with_token(token, user);
        self
    }

    /// Decides who may do what, in place of RBAC.
    #[must_use]
    pub fn authorizer(mut self, authorizer: Arc<dyn Authorizer>) -> Self {
        self.authorizer = Some(authorizer);
        self
    }

    /// Makes a ClusterRoleBinding that grants a ClusterRole to a user, if it is not there, and adds the user to one
    /// that is.
    #[must_use]
    pub fn grant(mut self, binding: &str, cluster_role: &str, user: &str) -> Self {
        let text = str::to_owned;
        self.grants.push(Grant { binding: text(binding), role: text(cluster_role), user: text(user) });
        self
    }

    /// Signs the tokens of ServiceAccounts with this key. Without one they are good until the server stops.
    #[must_use]
    pub fn service_account_key(mut self, key: SigningKey) -> Self {
        self.service_account_key = Some(key);
        self
    }

    /// Installs a CustomResourceDefinition, or brings a stored one up to date.
    #[must_use]
    pub fn definition(mut self, definition: Value) -> Self {
        self.definitions.push(definition);
        self
    }

    /// Makes a namespace if it is not there.
    #[must_use]
    pub fn namespace(mut self, name: &str) -> Self {
        self.namespaces.push(name.to_owned());
        self
    }

    /// Names a fact that `/readyz` waits for; assert it with [`ApiServer::readiness`].
    #[must_use]
    pub fn ready_when(self, fact: &str) -> Self {
        self.readiness.expect(fact);
        self
    }

    /// Says what `/version` answers.
    #[must_use]
    pub fn version(mut self, version: VersionInfo) -> Self {
        self.version = version;
        self
    }

    /// Says how many requests are answered at a time; more are refused with 429.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Takes the time from this clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Loads what is stored, installs what was asked for, and returns the server. It listens
    /// nowhere yet.
    pub async fn start(self) -> Result<ApiServer, StartError> {
        let store = match self.store {
            Some(store) => store,
            None => Store::open(Location::Memory, Options::default()).map_err(StartError::Open)?,
        };
        let registry = Arc::new(Registry::with_builtin_kinds());
        let policy = Arc::new(PolicyCache::new(store.clone()));
        let authorizer = self.authorizer.unwrap_or_else(|| Arc::new(RbacAuthorizer::new(policy.clone())));
        let escalation: Arc<dyn Plugin> = Arc::new(RbacEscalation { authorizer: authorizer.clone(), policy });
        let webhooks: Arc<dyn Plugin> = Arc::new(Webhooks::new(registry.clone(), self.services));
        let plugins = std::iter::once(escalation).chain(self.plugins).chain([webhooks]).collect();
        let verbs = Verbs::new(store.clone(), registry, Chain::new(plugins), self.clock);
        let bootstrap = async {
            match rbac::reconcile(&verbs, &self.grants).await {
                // A full disk must not keep a server from starting: it can still be read, and made room.
                Err(status) if status.is(&Reason::SERVICE_UNAVAILABLE) => {
                    tracing::warn!(%status, "the roles that are always there are not up to date");
                    Ok(())
                }
                made => made.map_err(|source| {
                    let what = "the roles and bindings that are always there".to_owned();
                    StartError::Install { what, source }
                }),
            }
        };
        tokio::try_join!(async { verbs.start().await.map_err(StartError::Load) }, bootstrap)?;
        for name in &self.namespaces {
            let install = |source| StartError::Install { what: format!("namespace {name}"), source };
            install_namespace(&verbs, name).await.map_err(install)?;
        }
        for definition in self.definitions {
            let what = format!("definition {}", rdd_api::object::name(&definition));
            install_definition(&verbs, definition).await.map_err(|source| StartError::Install { what, source })?;
        }
        let key = match self.service_account_key {
            Some(key) => key,
            None => SigningKey::make().map_err(StartError::Key)?,
        };
        let service_accounts = Arc::new(ServiceAccountTokens::new(key, verbs.clone()));
        let authenticator = self.authenticator.with_audiences(vec![ISSUER.to_owned()]);
        let shared = Shared {
            verbs,
            authenticator: authenticator.with_other(service_accounts.clone()),
            service_accounts,
            authorizer,
            version: self.version,
            readiness: self.readiness,
            metrics: Metrics::default(),
            documents: Cache::default(),
            printers: Printers::default(),
            in_flight: InFlight::new(self.limits),
            stop: CancellationToken::new(),
        };
        Ok(ApiServer::new(Arc::new(shared), store))
    }
}

fn caller() -> Caller {
    Caller::system(UserInfo::API_SERVER)
}

async fn install_namespace(verbs: &Verbs, name: &str) -> Result<(), Status> {
    let target = verbs.target(&GroupVersionResource::new("", "v1", "namespaces"))?;
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    match verbs.create(&caller(), &target, body, &WriteOptions::default()).await {
        Err(status) if !status.is(&Reason::ALREADY_EXISTS) => Err(status),
        _ => Ok(()),
    }
}

/// Creates a definition, or gives a stored one the wanted spec; its status and what others wrote
/// into its metadata stay.
async fn install_definition(verbs: &Verbs, definition: Value) -> Result<(), Status> {
    let gvr = GroupVersionResource::new("apiextensions.k8s.io", "v1", "customresourcedefinitions");
    let target = verbs.target(&gvr)?;
    match verbs.create(&caller(), &target, definition.clone(), &WriteOptions::default()).await {
        Err(status) if status.is(&Reason::ALREADY_EXISTS) => {}
        other => return other.map(drop),
    }
    let one = target.named(rdd_api::object::name(&definition));
    let mut wanted = verbs.get(&one)?.into_value();
    wanted["spec"] = definition["spec"].clone();
    for key in ["labels", "annotations"] {
        for (name, value) in definition["metadata"][key].as_object().into_iter().flatten() {
            wanted["metadata"][key][name] = value.clone();
        }
    }
    verbs.update(&caller(), &one, wanted, &WriteOptions::default()).await.map(drop)
}
