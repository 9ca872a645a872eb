//! What a plugin is, and what it is handed.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rdd_api::{GroupVersionResource, Status};
use serde_json::Value;

use crate::attributes::Attributes;
use crate::user::UserInfo;

/// A part of the server that may change or refuse writes.
#[async_trait]
pub trait Plugin: Send + Sync {
    /// Returns the name, for logs.
    fn name(&self) -> &str;

    /// Returns whether the plugin wants to see the request. Cheap: asked for every write.
    fn handles(&self, request: &Attributes) -> bool;

    /// Changes the object, or refuses. Runs before validation; locks that must last until the write
    /// is durable go into [`Attributes::hold`], side effects register their [`Attributes::if_refused`].
    async fn admit(&self, request: &mut Attributes, context: &Admit) -> Result<(), Status> {
        let _ = (request, context);
        Ok(())
    }

    /// Refuses, looking at the final object.
    async fn validate(&self, request: &Attributes, context: &Admit) -> Result<(), Status> {
        let _ = (request, context);
        Ok(())
    }
}

/// Reads committed objects, never a cache that lags.
///
/// Handed to whoever needs objects below the verbs: admission, authentication, authorization.
#[async_trait]
pub trait Reader: Send + Sync {
    /// Returns an object, or `None`. An unknown resource is an error.
    async fn get(
        &self,
        resource: &GroupVersionResource,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<Arc<Value>>, Status>;

    /// Returns the objects of one namespace, or of all with `None`, in key order.
    async fn list(&self, resource: &GroupVersionResource, namespace: Option<&str>) -> Result<Vec<Arc<Value>>, Status>;
}

/// Makes other objects, through the whole write path, admission included.
#[async_trait]
pub trait Writer: Send + Sync {
    /// Creates an object; with `dry_run`, everything but storing it. Returns it with the warnings that its creator gets;
    /// who creates it for a request hands them on with [`Admit::warn`].
    async fn create(
        &self,
        user: &UserInfo,
        resource: &GroupVersionResource,
        namespace: Option<&str>,
        object: Value,
        dry_run: bool,
    ) -> Result<(Arc<Value>, Vec<String>), Status>;

    /// Replaces an object. Its resourceVersion, if there is one, must still be the stored one.
    async fn update(
        &self,
        user: &UserInfo,
        resource: &GroupVersionResource,
        namespace: Option<&str>,
        object: Value,
        dry_run: bool,
    ) -> Result<Arc<Value>, Status>;

    /// Deletes an object, if it still has the uid.
    async fn delete(
        &self,
        user: &UserInfo,
        resource: &GroupVersionResource,
        namespace: Option<&str>,
        name: &str,
        uid: &str,
        dry_run: bool,
    ) -> Result<(), Status>;
}

/// What a plugin is handed beside the request.
pub struct Admit {
    /// Reads committed objects.
    pub reader: Arc<dyn Reader>,
    /// Makes other objects.
    pub writer: Arc<dyn Writer>,
    warnings: Mutex<Vec<String>>,
}

impl Admit {
    /// Makes the context of one request.
    pub fn new(reader: Arc<dyn Reader>, writer: Arc<dyn Writer>) -> Self {
        Self { reader, writer, warnings: Mutex::default() }
    }

    /// Tells the caller something that does not stop the request.
    pub fn warn(&self, text: impl Into<String>) {
        self.warnings.lock().expect("no holder of this lock panics").push(text.into());
    }

    /// Returns the warnings so far, and forgets them.
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.warnings.lock().expect("no holder of this lock panics"))
    }
}
