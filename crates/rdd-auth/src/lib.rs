//! Who is asking, and may they: authentication, authorization, and the certificates that both
//! sides of a connection show.
//!
//! The HTTP face (`rdd-apiserver`) asks [`Authenticator`] who a request is from and an
//! [`Authorizer`] whether it may go on; the embedder makes the serving certificate with
//! [`certificates`]. [`rbac`] is what roles and bindings mean, and
//! [`service_account_token`] what ServiceAccounts show. Nothing here knows HTTP, the store, or which users an instance
//! has: tokens, users, roles and bindings are handed in.

mod access;
pub mod authenticate;
pub mod authorize;
pub mod certificates;
mod cryptography;
pub mod rbac;
mod rbac_authorizer;
pub mod service_account_token;
pub mod signing_key;
pub mod tls;

pub use access::AccessRequest;
pub use authenticate::{Authenticated, Authenticator, Credentials, Refused, TokenAuthenticator};
pub use authorize::{AllowAuthenticated, Authorizer, Decision, Rules};
pub use certificates::{Authority, CertificateError, Serving};
pub use cryptography::provider;
pub use rbac_authorizer::{PolicySource, RbacAuthorizer};
pub use rdd_admission::UserInfo;
pub use signing_key::{SigningKey, SigningKeyError};
