//! The plugin.

use std::sync::Arc;

use rdd_admission::{Admit, Attributes, Plugin, Reader, UserInfo, async_trait};
use rdd_api::{GroupVersionResource, Status};
use rdd_registry::Registry;

use crate::client::Caller;
use crate::hook::{self, Hook};
use crate::resolve::Resolve;
use crate::{mutating, validating};

const GROUP: &str = "admissionregistration.k8s.io";
const MUTATING: &str = "mutatingwebhookconfigurations";
const VALIDATING: &str = "validatingwebhookconfigurations";

/// Calls the webhooks of stored configurations. Add it behind all other plugins: webhooks see what those made.
pub struct Webhooks {
    registry: Arc<Registry>,
    caller: Caller,
}

impl Webhooks {
    /// Makes the plugin. `resolver` says where services are.
    pub fn new(registry: Arc<Registry>, resolver: Arc<dyn Resolve>) -> Self {
        Self { registry, caller: Caller::new(resolver) }
    }

    /// Returns the webhooks of all configurations, in the order of the configurations' names.
    async fn hooks(&self, resource: &str, reader: &dyn Reader) -> Result<Vec<Arc<Hook>>, Status> {
        let configurations = reader.list(&GroupVersionResource::new(GROUP, "v1", resource), None).await?;
        Ok(configurations.iter().flat_map(|configuration| hook::hooks(configuration)).map(Arc::new).collect())
    }
}

#[async_trait]
impl Plugin for Webhooks {
    fn name(&self) -> &str {
        "AdmissionWebhooks"
    }

    fn handles(&self, request: &Attributes) -> bool {
        // Nobody may lock himself out: a configuration can always be mended, and the server always start.
        request.resource.group != GROUP && request.user.name != UserInfo::API_SERVER
    }

    async fn admit(&self, request: &mut Attributes, context: &Admit) -> Result<(), Status> {
        let hooks = self.hooks(MUTATING, context.reader.as_ref()).await?;
        mutating::admit(&self.caller, &hooks, request, context, &self.registry.kinds()).await
    }

    async fn validate(&self, request: &Attributes, context: &Admit) -> Result<(), Status> {
        let hooks = self.hooks(VALIDATING, context.reader.as_ref()).await?;
        validating::validate(&self.caller, &hooks, request, context, &self.registry.kinds()).await
    }
}
