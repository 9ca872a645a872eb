//! The cryptography below TLS.

use rustls::crypto::CryptoProvider;

/// Returns the cryptography: ring. Handed to rustls by value, so no process-wide default is needed.
pub fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}
