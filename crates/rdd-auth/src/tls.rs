//! The TLS side of a listener: rustls on ring, client certificates asked for but not required.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;

use crate::certificates::Serving;
use crate::cryptography::provider;

/// A TLS configuration that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The serving certificate and its key do not make a configuration.
    #[error("use the serving certificate")]
    Serving(#[source] rustls::Error),
    /// The serving key cannot be read.
    #[error("read the serving key")]
    Key,
    /// The client authority does not make a verifier.
    #[error("verify client certificates")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
    /// The client authority cannot be a trust anchor.
    #[error("trust the client authority")]
    Authority(#[source] rustls::Error),
}

/// Returns the configuration of a TLS listener: `h2` and `http/1.1`, and client certificates that
/// chain to the serving certificate's authority if the client has one.
pub fn server_config(serving: &Serving) -> Result<rustls::ServerConfig, TlsError> {
    let provider = Arc::new(provider());
    let mut roots = RootCertStore::empty();
    roots.add(serving.authority.clone()).map_err(TlsError::Authority)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(TlsError::Verifier)?;
    let key = serving.key().ok_or(TlsError::Key)?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Serving)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(serving.chain.clone(), key)
        .map_err(TlsError::Serving)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
