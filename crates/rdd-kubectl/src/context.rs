//! What every command works with: the console, the flags, and a session that is opened when needed.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use tokio::sync::OnceCell;

use crate::console::Console;
use crate::discovery::Discovery;
use crate::failure::Failure;
use crate::flags::GlobalArgs;
use crate::session::Session;

/// One run of one command.
pub(crate) struct Context {
    pub(crate) console: Rc<Console>,
    pub(crate) flags: GlobalArgs,
    kubeconfig: PathBuf,
    session: OnceCell<(Session, String)>,
    discovery: OnceCell<Discovery>,
}

impl Context {
    /// Returns a context; an explicit `--kubeconfig` wins over the one handed in.
    pub(crate) fn new(console: Rc<Console>, flags: GlobalArgs, kubeconfig: &Path) -> Self {
        let kubeconfig = flags.kubeconfig.clone().unwrap_or_else(|| kubeconfig.to_owned());
        Self { console, flags, kubeconfig, session: OnceCell::new(), discovery: OnceCell::new() }
    }

    /// Returns the path of the kubeconfig.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    async fn opened(&self) -> Result<&(Session, String), Failure> {
        self.session.get_or_try_init(|| Session::open(&self.kubeconfig, &self.flags, self.console.clone())).await
    }

    /// Returns the session.
    pub(crate) async fn session(&self) -> Result<&Session, Failure> {
        Ok(&self.opened().await?.0)
    }

    /// Returns the namespace to work in.
    pub(crate) async fn namespace(&self) -> Result<&str, Failure> {
        match self.flags.namespace.as_deref() {
            Some(namespace) if !namespace.is_empty() => Ok(namespace),
            _ => Ok(&self.opened().await?.1),
        }
    }

    /// Returns the namespace if the user named one.
    pub(crate) fn explicit_namespace(&self) -> Option<&str> {
        self.flags.namespace.as_deref().filter(|n| !n.is_empty())
    }

    /// Returns what the server serves.
    pub(crate) async fn discovery(&self) -> Result<&Discovery, Failure> {
        let session = self.session().await?;
        self.discovery.get_or_try_init(|| Discovery::fetch(session)).await
    }
}
