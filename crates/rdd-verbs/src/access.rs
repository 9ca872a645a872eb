//! What admission plugins are handed: the verbs, as a [`Reader`] and a [`Writer`].

use std::sync::Arc;

use rdd_admission::{Reader, UserInfo, Writer, async_trait};
use rdd_api::{GroupVersionResource, Reason, Status, object};
use serde_json::Value;

use crate::options::{Caller, DeleteOptions, ListOptions, Target, WriteOptions};
use crate::verbs::Verbs;

impl Verbs {
    fn place(&self, resource: &GroupVersionResource, namespace: Option<&str>) -> Result<Target, Status> {
        Ok(self.target(resource)?.in_namespace(namespace.unwrap_or_default()))
    }
}

fn caller(user: &UserInfo) -> Caller {
    Caller { user: user.clone(), user_agent: "rdd".to_owned() }
}

#[async_trait]
impl Reader for Verbs {
    async fn get(
        &self,
        resource: &GroupVersionResource,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<Arc<Value>>, Status> {
        match self.read(&self.place(resource, namespace)?.named(name)) {
            Ok(object) => Ok(Some(object.value().clone())),
            Err(status) if status.is(&Reason::NOT_FOUND) => Ok(None),
            Err(status) => Err(status),
        }
    }

    async fn list(&self, resource: &GroupVersionResource, namespace: Option<&str>) -> Result<Vec<Arc<Value>>, Status> {
        let list = self.list_objects(&self.place(resource, namespace)?, &ListOptions::default()).await?;
        Ok(list.items.iter().map(|object| object.value().clone()).collect())
    }
}

#[async_trait]
impl Writer for Verbs {
    async fn create(
        &self,
        user: &UserInfo,
        resource: &GroupVersionResource,
        namespace: Option<&str>,
        object: Value,
        dry_run: bool,
    ) -> Result<(Arc<Value>, Vec<String>), Status> {
        let options = WriteOptions { dry_run, ..WriteOptions::default() };
        let target = self.place(resource, namespace)?;
        let written = Verbs::create(self, &caller(user), &target, object, &options).await?;
        Ok((written.object.value().clone(), written.warnings))
    }

    async fn update(
        &self,
        user: &UserInfo,
        resource: &GroupVersionResource,
        namespace: Option<&str>,
        object: Value,
        dry_run: bool,
    ) -> Result<Arc<Value>, Status> {
        let options = WriteOptions { dry_run, ..WriteOptions::default() };
        let target = self.place(resource, namespace)?.named(object::name(&object));
        let written = Verbs::update(self, &caller(user), &target, object, &options).await?;
        Ok(written.object.value().clone())
    }

    async fn delete(
        &self,
        user: &UserInfo,
        resource: &GroupVersionResource,
        namespace: Option<&str>,
        name: &str,
        uid: &str,
        dry_run: bool,
    ) -> Result<(), Status> {
        let uid = Some(uid.to_owned()).filter(|u| !u.is_empty());
        let options = DeleteOptions { dry_run, uid, ..DeleteOptions::default() };
        let target = self.place(resource, namespace)?.named(name);
        Verbs::delete(self, &caller(user), &target, &options).await.map(|_| ())
    }
}
