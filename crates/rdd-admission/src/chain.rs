//! The plugins of a server, in order.

use std::sync::Arc;

use rdd_api::Status;

use crate::attributes::Attributes;
use crate::namespace_lifecycle::NamespaceLifecycle;
use crate::plugin::{Admit, Plugin};

/// The plugins of a server, in order. [`NamespaceLifecycle`] is always the first.
#[derive(Clone)]
pub struct Chain {
    namespaces: Arc<NamespaceLifecycle>,
    plugins: Arc<Vec<Arc<dyn Plugin>>>,
}

impl Chain {
    /// Makes a chain of the namespaces' plugin and these.
    pub fn new(plugins: Vec<Arc<dyn Plugin>>) -> Self {
        let namespaces = Arc::new(NamespaceLifecycle::default());
        let first: Arc<dyn Plugin> = namespaces.clone();
        let plugins = std::iter::once(first).chain(plugins).collect();
        Self { namespaces, plugins: Arc::new(plugins) }
    }

    /// Returns the plugin that guards namespaces.
    pub fn namespaces(&self) -> &NamespaceLifecycle {
        &self.namespaces
    }

    /// Returns the names of the plugins, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.plugins.iter().map(|plugin| plugin.name())
    }

    /// Lets every plugin change or refuse the request, one after another.
    pub async fn admit(&self, request: &mut Attributes, context: &Admit) -> Result<(), Status> {
        for plugin in self.plugins.iter() {
            if plugin.handles(request) {
                plugin.admit(request, context).await?;
            }
        }
        Ok(())
    }

    /// Lets every plugin refuse the final object.
    pub async fn validate(&self, request: &Attributes, context: &Admit) -> Result<(), Status> {
        for plugin in self.plugins.iter() {
            if plugin.handles(request) {
                plugin.validate(request, context).await?;
            }
        }
        Ok(())
    }
}

impl Default for Chain {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}
