//! The HTTP face of the API server: what kubectl and every other Kubernetes client talks to.
//!
//! An embedder builds an [`ApiServer`] over a store and hands it listeners, or takes a service
//! that needs no port. Behind the face, `rdd-verbs` gives requests their meaning; this crate only
//! routes, negotiates, encodes and streams. It knows no kind beyond what the registry tells, but
//! for those that say who may do what: roles and bindings, reviews, and the tokens of ServiceAccounts.
//!
//! # Guarantees
//!
//! * A slow client delays no other: each connection is its own task, each stream its own flow.
//! * Discovery and OpenAPI are those of the same registry that routes requests: a kind that is
//!   Established is found and served.
//! * On shutdown, watches end as clean ends of stream, and requests in flight are answered.
//!
//! ```
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
//! # runtime.block_on(async {
//! use rdd_apiserver::{ApiServer, UserInfo};
//!
//! let server = ApiServer::builder().start().await.expect("a store in memory opens");
//! let client = kube::Client::new(server.service(UserInfo::system_masters("me")), "default");
//! let namespaces = kube::Api::<k8s_openapi::api::core::v1::Namespace>::all(client);
//! assert!(namespaces.get("default").await.is_ok());
//! server.shutdown().await;
//! # });
//! ```

mod answer;
mod body;
mod builder;
mod call;
mod discovery;
mod documents;
mod forbidden;
mod form;
mod health;
mod impersonate;
mod in_flight;
mod listing;
mod metrics;
mod negotiate;
mod openapi;
mod paths;
mod pieces;
mod pipeline;
mod query;
mod rbac;
mod request_info;
mod resources;
mod review_spec;
mod reviews;
mod serve;
mod server;
mod service;
mod service_account_tokens;
mod shared;
mod token_requests;
mod version;
mod watch_stream;

pub use builder::{Builder, StartError};
pub use health::Readiness;
pub use in_flight::Limits;
pub use rdd_admission::Plugin;
pub use rdd_auth::{AccessRequest, AllowAuthenticated, Authorizer, Decision, UserInfo};
pub use rdd_store::{Location, Options as StoreOptions, Store};
pub use rdd_webhook::{Resolve, Service};
pub use serve::ServeError;
pub use server::ApiServer;
pub use service::InProcess;
pub use version::VersionInfo;
