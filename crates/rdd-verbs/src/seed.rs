//! What is there before the first request.

use rdd_admission::UserInfo;
use rdd_api::{GroupVersionResource, Reason, Status};
use serde_json::json;

use crate::options::{Caller, Target, WriteOptions};
use crate::verbs::Verbs;

const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

impl Verbs {
    pub(crate) async fn seed_namespaces(&self) -> Result<(), Status> {
        let target = self.target(&GroupVersionResource::new("", "v1", "namespaces"))?;
        // Together, so that they share a commit: a first start waits for the disk once.
        futures::future::try_join_all(NAMESPACES.map(|name| self.seed_namespace(&target, name))).await.map(drop)
    }

    async fn seed_namespace(&self, target: &Target, name: &str) -> Result<(), Status> {
        if self.read(&target.clone().named(name)).is_ok() {
            return Ok(());
        }
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        match self.create(&Caller::system(UserInfo::API_SERVER), target, body, &WriteOptions::default()).await {
            Err(status) if !status.is(&Reason::ALREADY_EXISTS) => Err(status),
            _ => Ok(()),
        }
    }
}
