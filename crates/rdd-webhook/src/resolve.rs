//! Where the services of webhooks are.

use std::net::SocketAddr;

/// A service as a webhook names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Service {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The port of the service.
    pub port: u16,
}

impl Service {
    /// Returns the name that the server's certificate must have.
    pub fn host(&self) -> String {
        format!("{}.{}.svc", self.name, self.namespace)
    }
}

/// Says where a service listens. A closure will do.
pub trait Resolve: Send + Sync {
    /// Returns the address, or why there is none. Asked for every call.
    fn resolve(&self, service: &Service) -> Result<SocketAddr, String>;
}

impl<F: Fn(&Service) -> Result<SocketAddr, String> + Send + Sync> Resolve for F {
    fn resolve(&self, service: &Service) -> Result<SocketAddr, String> {
        self(service)
    }
}

/// Knows no service.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoServices;

impl Resolve for NoServices {
    fn resolve(&self, service: &Service) -> Result<SocketAddr, String> {
        let Service { namespace, name, .. } = service;
        Err(format!("service \"{namespace}/{name}\" cannot be reached: this server has no services; use a url"))
    }
}
